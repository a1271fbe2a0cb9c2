"""What is announced, as values: what is on sale, when the event is, and where it is bought.

In: the snapshots of a campaign's tickets, as Definitions answers them. Out: an Announcement, the same for all languages: texts and
dates are written where a message is rendered. Names are as the organiser typed them, so whatever they contain is possible.
"""

from dataclasses import dataclass

from server.model import Price, TicketId


@dataclass(frozen=True, slots=True)
class AnnouncedTicket:
    """One ticket: `start` of its sale in seconds since 1970; `on_sale`: it can be bought now, else from its start on."""

    id: TicketId
    name: str
    start: float
    on_sale: bool
    prices: tuple[Price, ...] = ()
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Announcement:
    """An event and its tickets that are on sale. `begins`: the event's start, None = to be announced; `zone`: its IANA zone.

    `page`: where the tickets are bought.
    """

    title: str
    page: str
    tickets: tuple[AnnouncedTicket, ...]
    begins: float | None = None
    zone: str | None = None
    location: str = ""
