"""Reads events from Wix: those that are due, and those whose tickets were read before them.

In: a claimed lot of events, or the events of tickets that Wix has just answered. Out: stored events, whose changes have
their tickets read again (store/events.py). Without the permission *Read Events* nothing pauses, and tickets decide for
themselves; a fault of Wix delays all reads of events of the site, longer with each in a row, so that those of tickets go on.
"""

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from server import deadline, logs
from server.errors import NotThere, WixForbidden, WixRefused, WixUnavailable
from server.logs import RepeatedWarning
from server.model import Event, EventId, SiteId
from server.refresh.faults import Faults, Part
from server.store.budget import Priority, Wait
from server.store.claims import EventLot
from server.store.events import Events
from server.store.schedule import Schedule
from server.wix import cures
from server.wix.client import Wix
from server.wix.events import event

QUERY_AGAIN_AFTER = 3600.0
"""Seconds for which events are read one by one after Wix refused a query for their ids."""
ONE_BY_ONE = "events are read one by one for an hour, which works as well but costs more calls"
GIVE_UP_AFTER = 3
"""Faults in a row after which tickets are shown by what is known of their event, if that is anything."""
EFFECT = "counters cannot tell that registration is closed"
"""What the permission to read events is missing for."""

log = logs.logger("events")


class EventReader:
    """The reads of events of one worker. Every method raises RedisUnavailable; *clock* gives seconds, from any start."""

    def __init__(
        self, schedule: Schedule, events: Events, wix: Wix, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.schedule = schedule
        self.events = events
        self.wix = wix
        self._clock = clock
        # Until then events are read one by one.
        self._one_by_one_until = -math.inf
        self.faults = Faults(schedule)
        self._forbidden = RepeatedWarning(log, "events_forbidden", math.inf)

    async def read(self, lot: EventLot, *, since: float | None = None) -> None:
        """Read a claimed lot and settle it; *since* is when it was asked for (time.monotonic(); None = now)."""
        with deadline.within(self.schedule.timing.calls_within, since=since):
            unread = await self._try_to_read(lot.site, lot.version, lot.events, lot.priority)
        if unread is None:
            await self.schedule.release(lot)
        else:
            await self.schedule.settle_events(lot, unread)

    async def of_tickets(
        self, site: SiteId, events: Collection[EventId], priority: Priority
    ) -> Mapping[EventId, Event | None]:
        """What is known of these events, None where Wix tells nothing; those that are to be read first are read.

        An event that is left out has to be read before its tickets are shown: Wix, or the budget, could not answer just now.
        """
        stored = await self.events.stored(site, events)
        waiting: Collection[EventId] = ()
        if stored.unread:
            waiting = await self._read_unread(site, tuple(stored.unread), priority)
            stored = await self.events.stored(site, events)
        ready = {id_: stored.facts.get(id_) for id_ in events if id_ not in stored.unread.intersection(waiting)}
        return {id_: event(facts) if facts else None for id_, facts in ready.items()}

    async def _read_unread(self, site: SiteId, events: Sequence[EventId], priority: Priority) -> Collection[EventId]:
        """Read events before their tickets; answers those without which their tickets have to wait."""
        delay = await self.events.delay(site)
        if not delay.lasts:
            version = await self.schedule.spend(site, priority)
            if isinstance(version, Wait):
                return events
            unread = await self._try_to_read(site, version, events, priority)
            if unread is not None:
                return unread
            delay = await self.events.delay(site)
        return events if 0 < delay.faults < GIVE_UP_AFTER else ()

    async def _try_to_read(
        self, site: SiteId, version: int, events: Sequence[EventId], priority: Priority
    ) -> Collection[EventId] | None:
        """Read and keep these events, for which a call was paid; answers those that could not be paid for, None after a fault.

        Without the permission nothing is kept, and nothing has to be read again: what was known stays.
        """
        try:
            unread = await self._read(site, version, events, priority)
        except WixForbidden as error:
            self._forbidden.warn(site, site=site, error=str(error), effect=EFFECT, hint=cures.hint(error))
            self.faults.answered(site, Part.EVENTS)
            await self.events.forbidden(site)
            return ()
        except (WixUnavailable, NotThere) as error:
            # A 404 for a query means a wrong address or a gateway, and says nothing about any event.
            await self.faults.pause(site, None, error, Part.EVENTS)
            await self.events.failed(site)
            return None
        self.faults.answered(site, Part.EVENTS)
        self._forbidden.resolved(site, site=site)
        return unread

    async def _read(
        self, site: SiteId, version: int, events: Sequence[EventId], priority: Priority
    ) -> Collection[EventId]:
        if self._clock() < self._one_by_one_until:
            return await self._read_one_by_one(site, version, events, priority)
        try:
            found = await self.wix.events(site, events, lambda: self.schedule.try_spend(site, priority))
        except WixRefused as error:
            self._one_by_one_until = self._clock() + QUERY_AGAIN_AFTER
            log.warning("events_query_refused", site=site, events=len(events), error=str(error), effect=ONE_BY_ONE)
            return await self._read_one_by_one(site, None, events, priority)
        await self.events.keep(site, version, events, found)
        return ()

    async def _read_one_by_one(
        self, site: SiteId, paid: int | None, events: Sequence[EventId], priority: Priority
    ) -> Collection[EventId]:
        """Get each event; *paid* is the version of a call that is paid for. Answers those for which there was no time or call."""
        # These are many calls: the tickets' come first, unless a webhook asked for the event.
        rest = Priority.HINTED if priority is Priority.HINTED else Priority.REST
        ends = self._clock() + self.schedule.timing.calls_within / 2
        for place, id_ in enumerate(events):
            version = paid if paid is not None else await self.schedule.spend(site, rest)
            paid = None
            if isinstance(version, Wait) or self._clock() >= ends:
                return events[place:]
            try:
                found = await self.wix.event(site, id_, lambda: self.schedule.try_spend(site, rest))
            except NotThere:
                found = None
            except WixRefused as error:
                log.warning("event_refused", site=site, id=id_, error=str(error))
                found = None
            await self.events.keep(site, version, [id_], [found] if found else [])
        return ()
