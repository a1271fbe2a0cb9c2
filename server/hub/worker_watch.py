"""Whether a worker is alive, and whether Wix answers it: two notices of a web process for its administrator.

In: what workers last said, asked for every few seconds. Out: /readyz `worker` and `wix`, two metrics, one log line when the last worker
is lost and one when there is one again. None of them keeps viewers away: numbers that cannot be verified are withdrawn anyway.
"""

import asyncio

from server import logs, metrics
from server.errors import RedisUnavailable
from server.store.worker_status import ALIVE_FOR, SAID_EVERY, WorkerStatus

HINT = (
    "no ticket is read, and numbers are withdrawn after MAX_STALE: start `ticket-counter worker` with the same REDIS_URL and "
    "REDIS_PREFIX, or see in its log why it ended"
)

log = logs.logger("worker_watch")


class WorkerWatch:
    """What one web process knows of the workers. *grace* are the seconds from the start in which a missing one is no news."""

    def __init__(self, status: WorkerStatus, *, every: float = SAID_EVERY, grace: float = ALIVE_FOR) -> None:
        self._status = status
        self._every = every
        self._grace = grace
        self._seen = self._lost = False
        self.worker_alive = True
        """Whether a worker is alive; true until the first answer of Redis, and as it was while Redis is unavailable."""
        self.wix_answers = True
        """Whether Wix answers for all sites; true where no worker says otherwise."""

    async def start(self) -> None:
        """Ask for the first time."""
        await self._ask(late=False)

    async def run(self) -> None:
        """Ask, again and again."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            await asyncio.sleep(self._every)
            await self._ask(late=loop.time() - began >= self._grace)

    async def _ask(self, *, late: bool) -> None:
        try:
            said = await self._status.read()
        except RedisUnavailable:
            return  # the feed reports that
        self.worker_alive = said is not None
        self.wix_answers = said is None or not said.silent_wix
        metrics.missing_workers.set(said is None)
        metrics.silent_wix.set(0 if said is None else said.silent_wix)
        if said is not None:
            if self._lost:
                log.info("worker_back", version=said.version)
            self._seen, self._lost = True, False
        elif not self._lost and (late or self._seen):
            self._lost = True
            log.warning("worker_lost", hint=HINT)
