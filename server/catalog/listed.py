"""Events and tickets as values, made from what Wix says of them.

In: the facts of a ticket and of its event, as a read of Wix gives them and as Redis keeps them. Out: ListedTicket and ListedEvent,
whose names are as somebody typed them. A member that is missing, or of another type than Wix documents, counts as not said.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from server.counter import State
from server.model import EventId, EventStatus, SiteId, TicketId
from server.wix.members import members, name_of, one_of, text
from server.wix.schema import position

_WHY_OVER: Mapping[str, str] = {
    EventStatus.CANCELED: "the event is canceled",
    EventStatus.ENDED: "the event has ended",
    EventStatus.DRAFT: "the event is a draft",
}
_OVER = frozenset({EventStatus.CANCELED, EventStatus.ENDED})


@dataclass(frozen=True, slots=True)
class ListedTicket:
    """One ticket: the *state* that visitors are shown, and why they are shown none ("" = they are shown one).

    *unsold* is what is left, also where visitors do not see the number; None = unlimited. *place* sorts the tickets of an event.
    """

    ticket: TicketId
    name: str
    state: State
    unsold: int | None
    why_gone: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True)
class ListedEvent:
    """One event with its tickets, as its page orders them. *start* is ISO 8601, in UTC; None = not said, or to be decided."""

    site: SiteId
    event: EventId
    title: str
    slug: str | None = None
    status: EventStatus | None = None
    start: str | None = None
    tickets: tuple[ListedTicket, ...] = ()

    @property
    def shown(self) -> tuple[ListedTicket, ...]:
        """The tickets of which visitors are shown something."""
        return tuple(one for one in self.tickets if one.state is not State.GONE)


def ticket(
    id_: TicketId, facts: Mapping[str, Any], of_event: Mapping[str, Any] | None, state: State, unsold: int | None
) -> ListedTicket:
    """A ticket by its *facts* and those *of_event*, None = not known; *state* and *unsold* are those of its last read."""
    why = _why_gone(facts, of_event) if state is State.GONE else ""
    return ListedTicket(id_, text(facts.get("name")) or "", state, unsold, why, position(facts))


def event(
    site: SiteId,
    id_: EventId,
    facts: Mapping[str, Any] | None,
    tickets: Iterable[tuple[ListedTicket, Mapping[str, Any]]],
) -> ListedEvent:
    """An event by its own *facts*, or where there are none by what its tickets, each with its facts, say of it."""
    pairs = sorted(tickets, key=lambda pair: (pair[0].place, pair[0].ticket))
    of_tickets = (members(own.get("eventDetails")) for _, own in pairs)
    known: Mapping[str, Any] = facts or next((one for one in of_tickets if one), {})
    dates = members(known.get("dateAndTimeSettings"))
    return ListedEvent(
        site,
        id_,
        text(known.get("title")) or "",
        name_of(known.get("slug")),
        one_of(EventStatus, known.get("status")),
        None if dates.get("dateAndTimeTbd") is True else text(dates.get("startDate")),
        tuple(listed for listed, _ in pairs),
    )


def in_order(events: Iterable[ListedEvent]) -> list[ListedEvent]:
    """Events by their start, those without one last; what is over comes after all others."""
    return sorted(
        events, key=lambda one: (one.status in _OVER, one.start is None, one.start or "", one.title, one.event)
    )


def _why_gone(facts: Mapping[str, Any], of_event: Mapping[str, Any] | None) -> str:
    if facts.get("hidden") is True:
        return "hidden in Wix"
    for known in (members(of_event), members(facts.get("eventDetails"))):
        if why := _WHY_OVER.get(str(known.get("status"))):
            return why
    return "hidden while it is not on sale"
