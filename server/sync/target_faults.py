"""What a target's fault means: the target waits, one of its events waits, or a ticket is tried again later.

In: an error of a target. Out: for how many seconds to wait, remembered where all processes see it. An outage, refused credentials and
too many requests make the target wait, and park no ticket.
"""

import random
from collections.abc import Callable

from server import logs, metrics
from server.errors import TargetError, TargetForbidden, TargetUnavailable
from server.store.sync_records import FollowedEvent
from server.sync.mapped_events import MappedEvent
from server.sync.stores import Stores
from server.sync.targets.target import Target

FIRST_WAIT = 1.0
LONGEST_TICKET_WAIT, LONGEST_TARGET_WAIT, LONGEST_EVENT_WAIT = 300.0, 60.0, 600.0
"""Seconds: between two tries lies a random time, of which the most doubles from the first to the longest (full jitter)."""
LEAST_WAIT = 0.2
LONGEST_NAMED = 600.0
"""Seconds that a Retry-After may make a target wait."""
TOO_MANY = 429

log = logs.logger("sync")


class TargetFaults:
    """The faults of the target *name*. *chance* gives numbers in [0, 1), *clock* seconds since 1970; both methods raise RedisUnavailable."""

    def __init__(
        self,
        name: str,
        target: Target,
        stores: Stores,
        *,
        chance: Callable[[], float] = random.random,
        clock: Callable[[], float],
    ) -> None:
        self.name = name
        self.target = target
        self.stores = stores
        self._chance = chance
        self._clock = clock

    async def is_of_target(self, error: TargetUnavailable, event: str) -> bool:
        """Whether the target has no usable answer to anything, or asks for fewer requests; else only one ticket is concerned."""
        if error.status == TOO_MANY:
            return True
        try:
            await self.target.event(event)
        except TargetForbidden:
            return False
        except TargetError:
            return True
        return False

    async def pause(self, error: TargetError) -> None:
        """The target waits: for as long as it asks for, else longer with each fault in a row."""
        faults = await self.stores.targets.failed(self.name, str(error), self._clock())
        named = error.retry_after if isinstance(error, TargetUnavailable) else None
        wait = max(LEAST_WAIT, self.wait(faults, LONGEST_TARGET_WAIT)) if named is None else min(named, LONGEST_NAMED)
        await self.stores.targets.wait(self.name, self._clock() + wait)
        metrics.sync_pauses.labels(self.name).inc()
        log.warning("target_waits", target=self.name, seconds=round(wait, 1), faults=faults, error=str(error))

    async def forbidden(self, event: MappedEvent, followed: FollowedEvent | None, error: TargetForbidden) -> float:
        """The target does not let us use this event: only the event waits. Answers the seconds."""
        faults = (followed.faults if followed else 0) + 1
        wait = max(FIRST_WAIT, self.wait(faults + 3, LONGEST_EVENT_WAIT))
        if followed:
            until = self._clock() + wait
            await self.stores.records.change_event(
                event.site, self.name, event.event, faults=faults, error=str(error), wait_until=until
            )
        log.warning("event_forbidden", target=self.name, site=event.site, id=event.event, error=str(error))
        return wait

    async def over(self, event: MappedEvent, followed: FollowedEvent | None, seconds: float) -> None:
        """The target answered, after so many seconds: faults of it and of its event are over."""
        if followed and followed.faults:
            await self.stores.records.change_event(
                event.site, self.name, event.event, faults=0, error="", wait_until=0.0
            )
        await self.stores.targets.answered(self.name, self._clock(), seconds)

    def wait(self, tries: int, longest: float = LONGEST_TICKET_WAIT) -> float:
        """Seconds until the next try, after so many in a row."""
        return self._chance() * min(longest, FIRST_WAIT * 2.0 ** min(tries, 20))
