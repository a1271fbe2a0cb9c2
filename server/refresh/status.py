"""Says every few seconds that this worker is alive, and for how many sites Wix does not answer.

In: the known sites. Out: what store/worker_status.py keeps for every process, and the status of this worker, for its own /readyz.
"""

from collections.abc import Callable, Collection

from server import logs, metrics
from server.errors import RedisUnavailable
from server.logs import RepeatedWarning
from server.model import SiteId
from server.store.worker_status import SAID_EVERY, WorkerSays, WorkerStatus
from server.timed_event import TimedEvent

log = logs.logger("status")


class StatusReporter:
    """The status of one worker process; *sites* answers the sites that it knows."""

    def __init__(
        self,
        status: WorkerStatus,
        sites: Callable[[], Collection[SiteId]],
        version: str,
        *,
        every: float = SAID_EVERY,
    ) -> None:
        self._status = status
        self._sites = sites
        self._version = version
        self._every = every
        self._stopping = TimedEvent()
        self._unavailable = RepeatedWarning(log, "store_unavailable")
        self.redis_answers = False
        """Whether Redis took what this worker said last."""
        self.silent_wix = 0
        """For how many sites Wix did not answer then."""

    @property
    def running(self) -> bool:
        """Whether the worker claims what is due: it was not told to end."""
        return not self._stopping.is_set()

    async def run(self) -> None:
        """Say it again and again, until `stop`."""
        while self.running:
            await self._say()
            await self._stopping.within(self._every)

    def stop(self) -> None:
        """Say nothing more: what was said last expires."""
        self._stopping.set()

    async def _say(self) -> None:
        try:
            self.silent_wix = await self._status.silent_wix(self._sites())
            await self._status.write(WorkerSays(self._version, self.silent_wix))
        except RedisUnavailable as error:
            self.redis_answers = False
            self._unavailable.warn("worker", error=str(error))
        else:
            self.redis_answers = True
            self._unavailable.resolved("worker")
        metrics.silent_wix.set(self.silent_wix)
