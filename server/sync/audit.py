"""Compares all followed events with their target from time to time, and marks what differs.

In: followed events. Out: due tickets, and what is remembered of those that are equal, which rebuilds a memory that was lost. Marks
are spread over time, so that a change of a ticket does not wait behind them.
"""

from collections.abc import Callable, Collection

from server import logs, metrics
from server.errors import RedisUnavailable, TargetError, TargetForbidden
from server.logs import RepeatedWarning
from server.model import SiteId, TicketId
from server.store.sync_records import FollowedEvent, StoredRecord
from server.sync.applied import applied_json
from server.sync.applier import Applier
from server.sync.followed_sites import FollowedSites
from server.sync.mapped_events import MappedEvent
from server.sync.model import PARKED, Deleted, State, Wanted
from server.sync.planner import Compared, Comparison
from server.timed_event import TimedEvent

EVERY = 3600.0
"""Seconds between two audits of an event."""
LOOK_EVERY, LOST_EVERY = 2.0, 30.0
"""Seconds between two looks for an event whose audit is due, and for one that was applied and is not followed any more."""
AFTER_BUG = 30.0
"""Seconds until the next look after an error that is a bug."""
SPREAD = 0.5
"""Seconds between the due times of two tickets that an audit marks."""

log = logs.logger("sync")


class Audit:
    """The audits of one target. *sites* answers the known sites, *targets* are all that sync.toml has, *clock* gives seconds since 1970."""

    def __init__(
        self,
        applier: Applier,
        sites: Callable[[], Collection[SiteId]],
        *,
        every: float = EVERY,
        targets: Collection[str] = (),
        clock: Callable[[], float],
    ) -> None:
        self.applier = applier
        self.settings = applier.settings
        self.stores = applier.stores
        self._every = every
        self._known = sites
        self._all = targets or (self.settings.name,)
        self._sites = FollowedSites(self.settings.name, self.stores.records, sites, clock)
        self._look_for_lost_at = 0.0
        self._clock = clock
        # Once a process: two with different files would else take turns.
        self._compared_settings = False
        self._failed = RepeatedWarning(log, "audit_failed")

    async def run(self, stopping: TimedEvent) -> None:
        """Audit until *stopping* is set."""
        while not stopping.is_set():
            wait = LOOK_EVERY
            try:
                looked = await self.look()
            except (RedisUnavailable, TargetError) as error:
                self._failed.warn("look", target=self.settings.name, error=str(error))
            except Exception:
                # A bug here must not stop the counter, which this process serves too.
                log.exception("sync_bug", target=self.settings.name)
                wait = AFTER_BUG
            else:
                if looked:
                    self._failed.resolved("look", target=self.settings.name)
            await stopping.within(wait)

    async def look(self) -> bool:
        """Audit the events whose audit is due; answers False while the target is paused. Raises RedisUnavailable, TargetError."""
        state = await self.stores.targets.read(self.settings.name)
        if state.paused is not None or state.wait_until > self._clock():
            return False
        if not self._compared_settings and self._known():
            if state.digest != self.settings.digest:
                await self._try_parked_again()
                await self.stores.targets.set_digest(self.settings.name, self.settings.digest)
            self._compared_settings = True
        for site in await self._sites():
            followed = await self.stores.records.followed(site, self.settings.name)
            for event in await self.applier.events.all(site):
                known = followed.get(event.event)
                if known and event.is_followed(known) and self._is_due(known):
                    await self._audit(event, known)
        if self._clock() >= self._look_for_lost_at:
            await self.look_for_lost()
            self._look_for_lost_at = self._clock() + LOST_EVERY
        return True

    def _is_due(self, known: FollowedEvent) -> bool:
        return self._clock() - known.audit_at >= self._every and known.wait_until <= self._clock()

    async def look_for_lost(self) -> None:
        """After Redis has lost its data, follow the events again that were applied: their records bear the ids of their tickets.

        Only then: an event that is not followed was never applied here, or not to its end, and a copy of one bears our ids too.
        """
        name = self.settings.name
        if not self._known() or not await self.stores.targets.lost(name, self._all, self._clock()):
            return
        complete = True
        for site in sorted(self._known()):
            followed = await self.stores.records.followed(site, name)
            complete &= await self.stores.definitions.listed(site)
            for event in await self.applier.events.all(site):
                if event.event not in followed:
                    await self._follow_if_applied(event)
        if complete:
            await self.stores.targets.found(name)

    async def record(self, comparison: Comparison) -> None:
        """Remember what a comparison has found equal."""
        for one in comparison.tickets:
            if one.operation is None:
                await self._remember_equal(comparison.event, one)

    async def mark(self, comparison: Comparison) -> int:
        """Mark what a comparison has found to differ, but for what is parked; answers how many."""
        differing = [one.ticket for one in comparison.tickets if one.operation and not self._is_parked(one)]
        for place, ticket in enumerate(differing):
            await self.stores.due.mark(comparison.event.site, self.settings.name, [ticket], place * SPREAD)
        return len(differing)

    async def _audit(self, event: MappedEvent, followed: FollowedEvent) -> None:
        lease = self.stores.leases.lease(self.settings.name, "audit")
        if not await lease.try_take():
            return
        try:
            comparison = await self.applier.planner.compare(event)
        except TargetForbidden as error:
            await self.applier.faults.forbidden(event, followed, error)
            return
        finally:
            await lease.release()
        await self.record(comparison)
        differing = await self.mark(comparison)
        metrics.sync_marks.labels(self.settings.name, "audit").inc(differing)
        await self.stores.records.change_event(
            event.site,
            self.settings.name,
            event.event,
            title=event.title or followed.title,
            target_event=event.target_event,
            audit_at=self._clock(),
            left_alone=comparison.plan.left_alone,
            notes=comparison.plan.notes,
            faults=0,
            error="",
            wait_until=0.0,
        )
        log.info(
            "audited",
            target=self.settings.name,
            site=event.site,
            id=event.event,
            equal=comparison.plan.equal,
            differ=differing,
        )

    def _is_parked(self, one: Compared) -> bool:
        """Whether it waits for a person, or for its daily try: an audit changes nothing about that."""
        return one.memory.state in PARKED and one.memory.digest == self.settings.digest

    async def _follow_if_applied(self, event: MappedEvent) -> None:
        tickets = set(await self.stores.definitions.of_event(event.site, event.event))
        try:
            records = await self.applier.target.list(event.target_event)
        except TargetForbidden as error:
            log.warning("event_forbidden", target=self.settings.name, id=event.event, error=str(error))
            return
        if tickets.isdisjoint(one.ticket for one in records):
            return
        followed = FollowedEvent(event.event, event.target_event, event.title, self._clock(), event.place)
        await self.stores.records.follow(event.site, self.settings.name, followed)
        log.info("followed_again", target=self.settings.name, site=event.site, id=event.event)

    async def _try_parked_again(self) -> None:
        """The mapping or the credentials have changed: that may have been what was wrong."""
        for site in sorted(self._known()):
            states = await self.stores.records.states(site, self.settings.name)
            waiting = [ticket for ticket, (state, _) in states.items() if state in PARKED or state == State.CONFLICT]
            await self.stores.due.mark(site, self.settings.name, waiting)
            for event in (await self.stores.records.followed(site, self.settings.name)).values():
                await self.stores.records.change_event(
                    site, self.settings.name, event.event, audit_at=0.0, wait_until=0.0
                )

    async def _remember_equal(self, event: MappedEvent, one: Compared) -> None:
        if isinstance(one.wanted, Deleted):
            return
        record = one.found.bearing[0]
        memory = one.memory
        same = (State.EQUAL, record.key, self.settings.digest) == (memory.state, memory.record, memory.digest)
        if not isinstance(one.wanted, Wanted) or (same and memory.applied == applied_json(one.wanted)):
            return
        found = StoredRecord(
            event=event.event,
            name=one.wanted.name,
            record=record.key,
            applied=applied_json(one.wanted),
            applied_at=self._clock(),
            state=State.EQUAL,
            state_at=self._clock(),
            attempt=memory.attempt,
            digest=self.settings.digest,
        )
        await self.stores.records.write(event.site, self.settings.name, TicketId(one.ticket), found)
