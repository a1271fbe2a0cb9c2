"""What of an event a person can announce now, or what the next start will announce: for previews and for `notify send`.

In: the stored snapshots of an event's tickets, and what was announced. Out: a SaleStart. The worker decides by itself, by trigger.py;
this tells what it will do, and what a person may do besides.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from server.counter import State
from server.errors import NotStarted
from server.model import SiteId, TicketId
from server.notify.announcement import Announcement
from server.notify.config import NotifyConfig
from server.notify.named_events import NamedEvent
from server.notify.offer import definition_of, offer, start_of, state_of, zone_of
from server.notify.opener import view_of
from server.notify.reports import PlannedStart
from server.notify.trigger import TicketView
from server.store.campaigns import Campaigns
from server.store.definitions import Definitions, StoredDefinition

FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class SaleStart:
    """Tickets that are announced together. `now`: one of them is on sale, so that they can be announced now.

    `start` and `deadline` are those of their campaign. `on_sale` are on sale then, `later` soon after. `announcement` None: nothing can
    be said of them, for this `reason`. `zone` is the event's.
    """

    tickets: tuple[TicketView, ...]
    now: bool
    start: float
    deadline: float
    announcement: Announcement | None
    reason: str
    zone: str | None

    @property
    def ids(self) -> tuple[TicketId, ...]:
        """Their ids."""
        return tuple(one.id for one in self.tickets)

    @property
    def on_sale(self) -> tuple[str, ...]:
        """The names of those that are on sale at the start."""
        return tuple(one.name for one in self.tickets if not self._is_later(one))

    @property
    def later(self) -> tuple[str, ...]:
        """The names of those whose sale starts soon after it."""
        return tuple(one.name for one in self.tickets if self._is_later(one))

    @property
    def started(self) -> float | None:
        """When the first of those that are on sale began to be; None where they have no start, or it is to come."""
        return min((one.start for one in self.tickets if one.on_sale and one.start is not None), default=None)

    def _is_later(self, one: TicketView) -> bool:
        return not one.on_sale and one.start is not None and one.start > self.start


class Sales:
    """The sale starts of events. *clock* gives seconds since 1970. Methods raise RedisUnavailable."""

    def __init__(
        self, definitions: Definitions, campaigns: Campaigns, config: NotifyConfig, *, clock: Callable[[], float]
    ) -> None:
        self._definitions = definitions
        self._campaigns = campaigns
        self._config = config
        self._clock = clock

    async def on_sale(self, event: NamedEvent, *, again: bool) -> SaleStart | None:
        """The tickets that are on sale and were not announced, or were and are to be *again*; None where there is none."""
        stored = await self._stored(event)
        views = await self._fresh(event.site, stored, again=again)
        now = self._clock()
        on_sale = sorted((one for one in views if one.on_sale), key=lambda one: (one.start or 0.0, one.id))
        if not on_sale:
            return None
        starts = [one.start for one in on_sale if one.start is not None and one.start + self._config.window > now]
        start = min(starts, default=now)
        later = [one for one in views if one.scheduled and one.start is not None and one.start <= now + self._together]
        return await self._sale(event, stored, (*on_sale, *_by_start(later)), start, now=True)

    async def planned(self, event: NamedEvent) -> SaleStart | None:
        """The next start that will be announced; None where none is known."""
        stored = await self._stored(event)
        now = self._clock()
        views = _by_start(one for one in await self._fresh(event.site, stored, again=False) if one.scheduled)
        coming = [one for one in views if one.start is not None and one.start > now]
        if not coming:
            return None
        start = coming[0].start or now
        tickets = [one for one in coming if one.start is not None and one.start <= start + self._together]
        return await self._sale(event, stored, tickets, start, now=False)

    async def any(self, event: NamedEvent) -> SaleStart:
        """What there is to say of an event: of what is on sale, of the next start, else of what was announced before.

        Raises NotStarted where nothing can be said.
        """
        found = (
            await self.on_sale(event, again=False) or await self.planned(event) or await self.on_sale(event, again=True)
        )
        if found is None:
            stored = await self._stored(event)
            why = "none of its tickets is on sale, or will be" if stored else "no ticket of it is known yet"
            raise NotStarted(f"there is nothing to say of {event.name}: {why}")
        return found

    async def report(self, event: NamedEvent) -> PlannedStart | None:
        """The next start, for a status."""
        found = await self.planned(event)
        if found is None:
            return None
        names = tuple(one.name for one in found.tickets)
        return PlannedStart(event.site, event.name, event.stored.title, names, found.start, found.deadline, found.zone)

    # -- parts --

    @property
    def _together(self) -> float:
        return self._config.together

    async def _stored(self, event: NamedEvent) -> list[StoredDefinition]:
        ids = await self._definitions.of_event(event.site, event.id)
        return [one for id_ in ids if (one := await self._definitions.read(event.site, id_)) is not None]

    async def _fresh(self, site: SiteId, stored: Sequence[StoredDefinition], *, again: bool) -> list[TicketView]:
        announced: Collection[TicketId] = () if again else (await self._campaigns.announced(site)).keys()
        return [view for one in stored if one.ticket not in announced and (view := view_of(one)) is not None]

    async def _sale(
        self,
        event: NamedEvent,
        stored: Sequence[StoredDefinition],
        tickets: Sequence[TicketView],
        start: float,
        *,
        now: bool,
    ) -> SaleStart:
        definitions = self._definitions if now else _AtStart(self._definitions, start)
        ids = [one.id for one in tickets]
        found = await offer(definitions, event.site, event.id, ids, now=self._clock(), oldest=FOREVER)
        zone = next((zone_of(one) for one in stored if one.ticket == tickets[0].id), None)
        deadline = start + self._config.window
        return SaleStart(tuple(tickets), now, start, deadline, found.announcement, found.reason, zone)


class _AtStart(Definitions):
    """The definitions as they will be at the start of a sale: what begins by then is on sale."""

    def __init__(self, definitions: Definitions, start: float) -> None:
        super().__init__(definitions.redis)
        self._start = start

    async def read(self, site: SiteId, ticket: TicketId) -> StoredDefinition | None:
        """What is stored of a ticket, as if its sale had started."""
        stored = await super().read(site, ticket)
        definition = stored and definition_of(stored)
        if stored is None or not definition or state_of(stored) is not State.SCHEDULED:
            return stored
        start = start_of(definition)
        if start is None or start > self._start:
            return stored
        return replace(stored, counter={**stored.counter, "state": State.AVAILABLE})


def _by_start(views: Iterable[TicketView]) -> list[TicketView]:
    return sorted(views, key=lambda one: (one.start or 0.0, one.id))
