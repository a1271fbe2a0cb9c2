"""Marks tickets as due at targets, for each change of a followed event; marking is all that it does.

In: the stream of changes of each site, and for targets that follow the remaining stock the stream of history. Out: due tickets. A
change that is read twice, late or in another order is only one more mark.
"""

import time
from collections.abc import Callable, Collection, Mapping

from server import logs, metrics
from server.errors import RedisUnavailable
from server.logs import RepeatedWarning
from server.model import EventId, SiteId, TicketId
from server.rounds import repeat
from server.store.changes import Changes, Log
from server.store.sync_records import FollowedEvent
from server.sync.followed_sites import FollowedSites
from server.sync.mapped_events import MappedEvents
from server.sync.mapping import Quota, TargetSettings
from server.sync.stores import Stores
from server.timed_event import TimedEvent

POLL_EVERY = 0.5
"""Seconds between two reads of a stream."""
AT_ONCE = 500
RECLAIM_EVERY, RECLAIM_IDLE = 30.0, 10.0
"""Seconds between two take-overs of entries that a process took and did not acknowledge, and after which it counts as dead."""
RELOAD_EVERY = 2.0
"""Seconds for which the followed events are remembered."""
STOCK_AFTER = 3.0
"""Seconds by which a sale is gathered with those after it, so that a ticket is written at most so often."""
GROUP, CONSUMER = "sync", "worker"
"""All workers are one consumer: the one that reads an entry marks it, and what a dead one took is taken over by any."""

log = logs.logger("sync")


class Consumer:
    """The marks of one process. *sites* answers the known sites."""

    def __init__(
        self,
        targets: Mapping[str, TargetSettings],
        stores: Stores,
        sites: Callable[[], Collection[SiteId]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.targets = targets
        self.stores = stores
        self.changes = Changes(stores.redis, GROUP, CONSUMER)
        self.history = Log(stores.redis, "history", GROUP, CONSUMER)
        self._events = {name: MappedEvents(one, stores.definitions) for name, one in targets.items()}
        self._sites = {name: FollowedSites(name, stores.records, sites, clock) for name in targets}
        self._clock = clock
        self._followed: dict[SiteId, tuple[float, dict[str, set[EventId]]]] = {}
        self._reclaim_at: dict[SiteId, float] = {}
        self._unavailable = RepeatedWarning(log, "store_unavailable")

    async def run(self, stopping: TimedEvent) -> None:
        """Mark until *stopping* is set."""

        async def once() -> float:
            return 0.0 if await self._poll_all() else POLL_EVERY

        await repeat(
            once,
            stopping,
            warning=self._unavailable,
            key="sites",
            on_bug=lambda error: log.error("sync_bug", exc_info=error),
            retry=POLL_EVERY,
        )

    async def _poll_all(self) -> bool:
        """Poll each site of which an event is followed; answers whether there may be more."""
        sites = {site for followed in self._sites.values() for site in await followed()}
        full = False
        for site in sorted(sites):
            try:
                full |= await self.poll(site)
            except RedisUnavailable as error:
                self._unavailable.warn(site, site=site, error=str(error))
            else:
                self._unavailable.resolved(site, site=site)
        return full

    async def poll(self, site: SiteId) -> bool:
        """Read what is new of one site, once; answers whether there may be more. Raises RedisUnavailable."""
        followed = await self._followed_events(site)
        if not any(followed.values()):
            return False
        if await self.changes.missed(site):
            await self._mark_all(site)
            await self.changes.caught_up(site)
        changes = (await self.changes.read(site, AT_ONCE)).changes
        reclaim = self._clock() >= self._reclaim_at.get(site, 0.0)
        if reclaim:
            self._reclaim_at[site] = self._clock() + RECLAIM_EVERY
            changes += (await self.changes.reclaim(site, RECLAIM_IDLE, AT_ONCE)).changes
        if any(one.event not in events for events in followed.values() for one in changes):
            # An event may be followed since the last look; an entry that is acknowledged unmarked is not seen again.
            followed = await self._followed_events(site, reload=True)
        for target, events in followed.items():
            tickets = {one.ticket for one in changes if one.event in events}
            if marked := await self.stores.due.mark(site, target, tickets):
                metrics.sync_marks.labels(target, "change").inc(marked)
        await self.changes.ack(site, *(one.entry for one in changes))
        return await self._poll_stock(site, followed, reclaim=reclaim) or len(changes) >= AT_ONCE

    async def _poll_stock(self, site: SiteId, followed: Mapping[str, Collection[EventId]], *, reclaim: bool) -> bool:
        """The same for the history, where a target follows the remaining stock."""
        following = [name for name in followed if followed[name] and self.targets[name].quota is Quota.UNSOLD]
        if not following:
            return False
        entries = await self.history.entries(site, AT_ONCE)
        if reclaim:
            entries += (await self.history.take_over(site, RECLAIM_IDLE, AT_ONCE))[0]
        tickets = {TicketId(fields["ticket"]) for _, fields in entries if "ticket" in fields}
        for target in following if tickets else ():
            known = await self.stores.records.states(site, target)
            due = [one for one in tickets if one in known and known[one][1] in followed[target]]
            if marked := await self.stores.due.mark(site, target, due, STOCK_AFTER):
                metrics.sync_marks.labels(target, "stock").inc(marked)
        await self.history.ack(site, *(entry for entry, _ in entries))
        return len(entries) >= AT_ONCE

    async def _mark_all(self, site: SiteId) -> None:
        """The stream has lost entries: every ticket may have changed."""
        for target, events in (await self._followed_events(site)).items():
            for event in events:
                tickets = await self.stores.definitions.of_event(site, event)
                marked = await self.stores.due.mark(site, target, tickets)
                metrics.sync_marks.labels(target, "missed").inc(marked)

    async def _followed_events(self, site: SiteId, *, reload: bool = False) -> dict[str, set[EventId]]:
        """The events that each target follows, and that sync.toml names still."""
        known = self._followed.get(site)
        if known is None or reload or self._clock() - known[0] > RELOAD_EVERY:
            found = {}
            for target, events in self._events.items():
                followed: Mapping[EventId, FollowedEvent] = await self.stores.records.followed(site, target)
                mapped = {event: await events.of(site, event) for event in followed}
                found[target] = {event for event, its in mapped.items() if its and its.is_followed(followed[event])}
            known = self._followed[site] = (self._clock(), found)
        return known[1]
