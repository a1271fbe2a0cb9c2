"""What a worker can claim of a site, and what it tells the schedule after a read: values.

A claim is leased: the tickets, the events or the listing of a worker that dies are due again when its lease ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from server.model import EventId, Pace, SiteId, TicketId
from server.store.budget import Priority

LISTING = "*"
"""The member of a site's schedule that stands for listing all its tickets."""


@dataclass(frozen=True, slots=True)
class Lot:
    """Claimed tickets: read them with one query that begins now, under this version. `lease` is when the claim ends (µs)."""

    site: SiteId
    version: int
    lease: int
    priority: Priority
    tickets: tuple[TicketId, ...]


@dataclass(frozen=True, slots=True)
class EventLot:
    """Claimed events: read them with one query that begins now, under this version. `lease` is as in Lot."""

    site: SiteId
    version: int
    lease: int
    priority: Priority
    events: tuple[EventId, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """A claim to list all tickets of this site; no other worker gets it before the lease ends (µs)."""

    site: SiteId
    lease: int


@dataclass(frozen=True, slots=True)
class NextRead:
    """What decides when a ticket is read next: its pace, and its sale's start and end.

    `again`: the answer left it out, or was not kept, so it is read again in a moment (`Timing.again`).
    """

    ticket: TicketId
    pace: Pace
    start_us: int | None = None
    end_us: int | None = None
    again: bool = False

    def arguments(self) -> tuple[str | int, ...]:
        """The arguments that settle.lua takes for each ticket."""
        start = "" if self.start_us is None else self.start_us
        end = "" if self.end_us is None else self.end_us
        return self.ticket, "again" if self.again else self.pace, start, end


def read_again(tickets: Sequence[TicketId]) -> list[NextRead]:
    """Have each of these tickets read again in a moment."""
    return [NextRead(ticket, Pace.LIVE, again=True) for ticket in tickets]
