"""What of a campaign can be bought now, and what its message says of it.

In: the stored snapshots of its tickets. Out: an Offer: what is announced, or why nothing can be. Source of what a state means:
docs/states.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from server.campaign import Campaign
from server.counter import State
from server.errors import Malformed
from server.model import Definition, EventId, EventStatus, SiteId, TicketId
from server.notify.announcement import AnnouncedTicket, Announcement
from server.store.definitions import Definitions, StoredDefinition
from server.store.schedule import Schedule
from server.wire import is_address
from server.wix import schema
from server.wix.members import members, one_of, parse_time, text

ON_SALE = frozenset({State.AVAILABLE, State.LOW})
NOT_READ, NO_PAGE, GONE = "not read lately", "the event has no page", "hidden or deleted"
REASONS = {
    State.SOLD_OUT: "sold out",
    State.CLOSED: "registration is closed",
    State.SCHEDULED: "not on sale yet",
    State.ENDED: "the sale has ended",
}
"""Why a ticket cannot be bought, by its state, what tells a person most first."""
EVENTS = {
    EventStatus.CANCELED: "the event is cancelled",
    EventStatus.ENDED: "the event has ended",
    EventStatus.DRAFT: "the event is not published",
}
"""Why none of an event's tickets can be bought, by its status."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What can be announced now: `buyable` = one of the tickets can be bought, else the `reason` why none can.

    `announcement` is there where it is buyable.
    """

    announcement: Announcement | None
    buyable: bool
    reason: str = ""


class Offers:
    """What campaigns offer: *now* answers Redis's time, and what was read more than *oldest* seconds ago does not count."""

    def __init__(
        self, definitions: Definitions, schedule: Schedule, now: Callable[[], float], *, oldest: float
    ) -> None:
        self._definitions = definitions
        self._schedule = schedule
        self._now = now
        self._oldest = oldest

    async def __call__(self, campaign: Campaign) -> Offer:
        """What can be bought now; its tickets are read as often as those that a visitor sees. Raises RedisUnavailable."""
        await self._schedule.watch(campaign.site, campaign.tickets)
        place = (self._definitions, campaign.site, campaign.event)
        return await offer(*place, campaign.tickets, now=self._now(), oldest=self._oldest)


async def offer(
    definitions: Definitions,
    site: SiteId,
    event: EventId,
    tickets: Sequence[TicketId],
    *,
    now: float,
    oldest: float,
) -> Offer:
    """What of these tickets of an event can be bought *now*; what was read more than *oldest* seconds ago does not count.

    Raises RedisUnavailable.
    """
    stored = [one for ticket in tickets if (one := await definitions.read(site, ticket)) and one.event in {event, None}]
    reasons = set()
    shown: list[tuple[StoredDefinition, Definition, State]] = []
    for one in stored:
        state, definition = state_of(one), definition_of(one)
        if definition is None or state not in {*ON_SALE, *REASONS}:
            reasons.add(EVENTS.get(status, GONE) if (status := status_of(one)) else GONE)
        elif state in ON_SALE and now - one.read_at > oldest:
            reasons.add(NOT_READ)
        elif state in ON_SALE or state is State.SCHEDULED:
            shown.append((one, definition, state))
        else:
            reasons.add(REASONS[state])
    on_sale = [one for one in shown if one[2] in ON_SALE]
    if not on_sale:
        reasons |= {REASONS[state] for _, _, state in shown}
        known = (NOT_READ, *EVENTS.values(), *REASONS.values())
        return Offer(None, buyable=False, reason=next((one for one in known if one in reasons), GONE))
    page = _page(*on_sale[0][:2])
    if page is None:
        return Offer(None, buyable=False, reason=NO_PAGE)
    return Offer(_announcement(shown, page, now), buyable=True)


def state_of(stored: StoredDefinition) -> State:
    """What visitors are shown of a ticket."""
    state = text(stored.counter.get("state"))
    return State(state) if state in set(State) else State.UNKNOWN


def definition_of(stored: StoredDefinition) -> Definition | None:
    """The stored facts, parsed; None of a ticket that was deleted. Its stock is not among them."""
    if stored.facts is None:
        return None
    try:
        return schema.definition({**stored.facts, "limited": False})
    except Malformed:
        # Only what was parsed is stored, so another version wrote this; it is read again in minutes.
        return None


def zone_of(stored: StoredDefinition) -> str | None:
    """The IANA zone of the ticket's event."""
    return text(members(_event(stored).get("dateAndTimeSettings")).get("timeZoneId"))


async def zone_of_tickets(definitions: Definitions, site: SiteId, tickets: Sequence[TicketId]) -> str | None:
    """The IANA zone of the event of these tickets; None where it is not known. Raises RedisUnavailable."""
    for ticket in tickets:
        stored = await definitions.read(site, ticket)
        if stored is not None and (zone := zone_of(stored)):
            return zone
    return None


def title_of(stored: StoredDefinition) -> str:
    """The title of the ticket's event."""
    return text(_event(stored).get("title")) or ""


def status_of(stored: StoredDefinition) -> EventStatus | None:
    """The status of the ticket's event, None = not said."""
    return one_of(EventStatus, _event(stored).get("status"))


def start_of(definition: Definition) -> float | None:
    """When its sale starts, in seconds since 1970."""
    return None if definition.start_us is None else definition.start_us / 1e6


def _event(stored: StoredDefinition) -> dict[str, object]:
    """What the event says of itself wins over what its ticket says of it."""
    facts = stored.facts or {}
    return {**members(facts.get("eventDetails")), **members(facts.get("event"))}


def _page(stored: StoredDefinition, definition: Definition) -> str | None:
    """Where it is bought; of an event without a page of its own that is the site."""
    if buy := text(stored.counter.get("buy")):
        return buy
    base = text(members(_event(stored).get("eventPageUrl")).get("base")) or ""
    return base if is_address(base) else definition.event_details.page


def _announcement(shown: Sequence[tuple[StoredDefinition, Definition, State]], page: str, now: float) -> Announcement:
    stored = next(one for one, _, state in shown if state in ON_SALE)
    event = _event(stored)
    dates, location = members(event.get("dateAndTimeSettings")), members(event.get("location"))
    tickets = [
        (definition.position, AnnouncedTicket(
            definition.id,
            definition.name,
            now if (start := start_of(definition)) is None else start,
            state in ON_SALE,
            definition.prices,
            definition.shared,
        ))
        for _, definition, state in shown
    ]  # fmt: skip
    ordered = sorted(tickets, key=lambda one: (not one[1].on_sale, one[0], one[1].id))
    return Announcement(
        title=title_of(stored),
        page=page,
        tickets=tuple(one for _, one in ordered),
        begins=_begins(dates),
        zone=zone_of(stored),
        location="" if location.get("locationTbd") is True else text(location.get("name")) or "",
    )


def _begins(dates: dict[str, object]) -> float | None:
    if dates.get("dateAndTimeTbd") is True:
        return None
    try:
        at = parse_time(dates.get("startDate"), "")
    except Malformed:
        return None
    return None if at is None else at / 1e6
