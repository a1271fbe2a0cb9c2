"""Brings the date of the next sale start to the marketing tool, where the organiser's own automations find it.

In: the stored snapshots of events for which notify.toml names a `date_field`. Out: the date in the tool, written once for each change, and
what was told, or why it could not be, in Redis. What is compared is what the tool was told last, so nothing depends on a message.

The date is the earliest start that is still to come, of a ticket that is not hidden, of an event that is not cancelled. Once it has come
and no other follows, it stays: the start was then, and an automation may count from it ("a day after"). Where it is taken back before
it has come, the field is emptied, or an automation would begin for a sale that does not.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from uuid import uuid4

from server import logs
from server.errors import AudienceError, AudienceRefused, LeaseLost, NotStarted, RedisUnavailable
from server.logs import RepeatedWarning, log_bug
from server.model import EventId, EventStatus, SiteId
from server.notify.audience.source import AudienceSource, SaleDate
from server.notify.config import EventAudience, NotifyConfig
from server.notify.offer import definition_of, start_of, status_of, title_of, zone_of
from server.redis.client import RedisClient
from server.rounds import repeat
from server.store.definitions import Definitions, StoredDefinition
from server.store.keys import Keys
from server.store.leases import LASTS, Lease
from server.store.notify_events import NotifyEvents
from server.store.redis_clock import RedisClock
from server.timed_event import TimedEvent

LOOK_EVERY = 5.0
"""Seconds between two looks at all events with a date."""
FIRST_RETRY, LONGEST_RETRY = 10.0, 3600.0
"""Seconds until a date is tried again that the tool did not take; twice as long with each further time, up to an hour."""
GRACE = 5.0
"""Seconds that a write in flight has at the end of the process: it is written again by the next one."""
AFTER_BUG = 30.0

log = logs.logger("notify")

OpenSource = Callable[[SiteId, EventAudience], AudienceSource]
"""The audience of an event; raises NotStarted."""


@dataclass(frozen=True, slots=True)
class _Fault:
    """How often in a row a date was not taken, and when it is tried again."""

    date: float | None
    times: int
    again_at: float


class Dates:
    """The dates of one process. *sites* answers the known sites, *clock* gives seconds from any start."""

    def __init__(
        self,
        config: NotifyConfig,
        redis: RedisClient,
        open_source: OpenSource,
        sites: Callable[[], Collection[SiteId]],
        *,
        clock: Callable[[], float] = time.monotonic,
        look_every: float = LOOK_EVERY,
        grace: float = GRACE,
    ) -> None:
        self.audiences = [one for one in config.events.values() if one.tool and one.date_field]
        self.events = NotifyEvents(redis)
        self.definitions = Definitions(redis)
        self.now = RedisClock(redis)
        self._redis = redis
        self._keys = Keys(redis.namespace)
        self._open_source = open_source
        self._sites = sites
        self._clock = clock
        self._look_every = look_every
        self._grace = grace
        self._faults: dict[tuple[SiteId, EventId], _Fault] = {}
        self._failed = RepeatedWarning(log, "date_not_told")
        self._unavailable = RepeatedWarning(log, "store_unavailable")

    async def run(self, stopping: TimedEvent) -> None:
        """Bring dates until *stopping* is set; return at once where notify.toml names no field."""

        async def once() -> float:
            looking = asyncio.create_task(self._look_at_all(stopping), name="notify: dates")
            ended = asyncio.create_task(stopping.wait())
            try:
                await asyncio.wait({looking, ended}, return_when=asyncio.FIRST_COMPLETED)
                if not looking.done():
                    await asyncio.wait({looking}, timeout=self._grace)
                if looking.done():
                    looking.result()
            finally:
                await _end(looking, ended)
            return self._look_every

        if self.audiences:
            await repeat(
                once,
                stopping,
                warning=self._unavailable,
                key="dates",
                on_bug=partial(log_bug, log, "notify_bug"),
                retry=self._look_every,
                after_bug=AFTER_BUG,
            )

    async def _look_at_all(self, stopping: TimedEvent) -> None:
        await self.now.ask()
        for site in sorted(self._sites()):
            for audience in self.audiences:
                if not stopping.is_set():
                    await self.look(site, audience)

    async def look(self, site: SiteId, audience: EventAudience) -> bool:
        """Look at one event, and write its date if it has changed; answers whether it was written. Raises RedisUnavailable."""
        found = await self.definitions.find_event(site, audience.event)
        if found is None:
            return False
        date = await self._date(site, found.event)
        fault = self._faults.get((site, found.event))
        waits = fault is not None and fault.date == date.at and self._clock() < fault.again_at
        where = _where(audience)
        if waits or not await self._is_new(site, found.event, date, where):
            return False
        names = ("date_lease", "date_lease_queue")
        lease = Lease(self._redis, [self._keys.notify(site, name, found.event) for name in names], uuid4().hex)
        if not await lease.try_take():
            return False
        holding = asyncio.create_task(_hold(lease), name="notify: lease of a date")
        try:
            # Another process may have written it a moment ago.
            if await self._is_new(site, found.event, date, where):
                return await self._tell(site, found.event, audience, date)
            return False
        finally:
            await _end(holding)
            await lease.release()

    async def _tell(self, site: SiteId, event: EventId, audience: EventAudience, date: SaleDate) -> bool:
        try:
            source = self._open_source(site, audience)
            try:
                await source.hold_date(date)
            finally:
                await source.aclose()
        except (AudienceError, NotStarted) as error:
            await self._fail(site, event, date, error)
            return False
        self._faults.pop((site, event), None)
        self._failed.resolved(f"{site} {event}", site=site, id=event)
        told = "" if date.at is None else date.at
        await self.events.set(
            site, event, date_told=told, date_told_at=self.now(), date_error=None, date_place=_where(audience)
        )
        log.info("date_told", site=site, id=event, emptied=date.at is None)
        return True

    async def _fail(self, site: SiteId, event: EventId, date: SaleDate, error: AudienceError | NotStarted) -> None:
        before = self._faults.get((site, event))
        times = before.times + 1 if before and before.date == date.at else 1
        wait = min(LONGEST_RETRY, FIRST_RETRY * 2.0 ** min(times - 1, 20))
        if named := getattr(error, "retry_after", None):
            wait = min(LONGEST_RETRY, max(wait, named))
        self._faults[site, event] = _Fault(date.at, times, self._clock() + wait)
        refused = isinstance(error, AudienceRefused | NotStarted)
        self._failed.warn(f"{site} {event}", site=site, id=event, error=str(error), refused=refused, again_in=wait)
        await self.events.set(site, event, date_error=str(error))

    async def _is_new(self, site: SiteId, event: EventId, date: SaleDate, where: str) -> bool:
        """Whether the tool has to be told this date: it was told another one, and none has not simply come."""
        facts = await self.events.facts(site, event)
        told = facts.get("date_told", "") if facts.get("date_place") == where else ""
        if date.at is not None:
            return told == "" or float(told) != date.at
        # Until all tickets were read once, one whose start is to come may be missing here.
        return told != "" and float(told) > self.now() and await self.definitions.listed(site)

    async def _date(self, site: SiteId, event: EventId) -> SaleDate:
        """The next start of an event, None = no start is to come."""
        tickets = await self.definitions.of_event(site, event)
        read = [one for ticket in tickets if (one := await self.definitions.read(site, ticket)) and one.facts]
        starts = [(start, one) for one in read if (start := _coming(one)) is not None and start > self.now()]
        if not starts:
            return SaleDate(None, zone_of(read[0]) if read else None, title_of(read[0]) if read else "")
        start, one = min(starts, key=lambda found: found[0])
        return SaleDate(start, zone_of(one), title_of(one))


def _where(audience: EventAudience) -> str:
    """A digest of where a date is held: another list, or another field, was told nothing yet."""
    tool = audience.tool
    named = [tool.kind, tool.url, sorted(tool.own.items())] if tool else []
    text = json.dumps([*named, sorted(audience.audience.items()), audience.date_field])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _coming(stored: StoredDefinition) -> float | None:
    """When a ticket's sale starts, of one that visitors are to see; one that is not shown before its sale is one of them."""
    definition = definition_of(stored)
    if definition is None or definition.hidden or status_of(stored) in {EventStatus.CANCELED, EventStatus.DRAFT}:
        return None
    return start_of(definition)


async def _hold(lease: Lease) -> None:
    """Extend a lease until this is cancelled: a date is written to as many subscribers as there are."""
    with suppress(RedisUnavailable, LeaseLost):
        while True:
            await asyncio.sleep(LASTS / 3)
            await lease.extend()


async def _end(*tasks: asyncio.Task[object] | asyncio.Task[None] | asyncio.Task[bool]) -> None:
    for one in tasks:
        one.cancel()
    await asyncio.wait(tasks)
