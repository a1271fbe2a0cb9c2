"""Which tickets are announced now: a pure function of what is known of an event's tickets and of its campaigns.

In: the newest snapshots, what was announced, the settings. Out: a Decision. It looks at what is so now and never at what has
changed, so that a late, a double or a missing look does no harm: the next one decides the same. Times are in seconds since 1970.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from server.campaign import Campaign
from server.model import TicketId


@dataclass(frozen=True, slots=True)
class TicketView:
    """A ticket as the trigger sees it: `start` of its sale (None = it has none).

    `on_sale`: it can be bought now. `scheduled`: it is shown, and its sale has not begun.
    """

    id: TicketId
    name: str
    start: float | None
    on_sale: bool
    scheduled: bool


@dataclass(frozen=True, slots=True)
class Opening:
    """Tickets that one campaign announces, and its start: that of the earliest ticket that is on sale."""

    tickets: tuple[TicketId, ...]
    start: float


@dataclass(frozen=True, slots=True)
class Joining:
    """Tickets that a campaign announces too."""

    campaign: str
    tickets: tuple[TicketId, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done now; another look after it may find more. `too_late`: only recorded, since nothing may go out any more."""

    open: Opening | None = None
    join: tuple[Joining, ...] = ()
    too_late: Opening | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be done."""
        return self == Decision()


def decide(
    tickets: Sequence[TicketView],
    *,
    now: float,
    since: float,
    announced: Iterable[TicketId] | Mapping[TicketId, str],
    campaigns: Sequence[Campaign],
    window: float,
    together: float,
    closed: Collection[str] = (),
) -> Decision:
    """What is to be done about the tickets of one event, of which *campaigns* are.

    A sale that began before *since*, when notify was switched on for the event, is not announced, and none that began more than
    *window* seconds ago. Starts at most *together* seconds apart are one campaign, as long as none of its messages has gone
    out: campaigns whose names are in *closed* take no ticket any more, nor do those that are over or stopped.
    """
    known = set(announced)
    fresh = [(one.start, one.id, one) for one in tickets if one.start is not None and one.id not in known]
    started = [entry for entry in sorted(fresh, key=lambda entry: entry[:2]) if entry[2].on_sale and since <= entry[0]]
    due = [(start, ticket) for start, ticket, _ in started if now - start <= window]
    missed = [(start, ticket) for start, ticket, _ in started if now - start > window]
    running = [one for one in campaigns if _takes_tickets(one, now) and one.name not in closed]

    joining: dict[str, list[TicketId]] = {}
    alone = []
    for start, ticket in due:
        if campaign := _nearest(running, start, together):
            joining.setdefault(campaign.name, []).append(ticket)
        else:
            alone.append((start, ticket))
    opening = _first_together(alone, together)
    if opening:
        last = opening.start + together
        later = sorted((start, id_) for start, id_, one in fresh if one.scheduled and opening.start <= start <= last)
        opening = Opening((*opening.tickets, *(id_ for _, id_ in later)), opening.start)
    return Decision(
        opening,
        tuple(Joining(name, tuple(its)) for name, its in sorted(joining.items())),
        _first_together(missed, together),
    )


def _takes_tickets(campaign: Campaign, now: float) -> bool:
    return not campaign.too_late and campaign.stopped_at is None and now < campaign.deadline


def _nearest(campaigns: Iterable[Campaign], start: float, together: float) -> Campaign | None:
    """The campaign whose start is the nearest to this one, and near enough."""
    near = [one for one in campaigns if abs(one.start - start) <= together]
    return min(near, key=lambda one: (abs(one.start - start), one.start, one.name), default=None)


def _first_together(starts: Sequence[tuple[float, TicketId]], together: float) -> Opening | None:
    """The earliest of these, which are sorted, and those soon after it."""
    if not starts:
        return None
    first = starts[0][0]
    return Opening(tuple(ticket for start, ticket in starts if start - first <= together), first)
