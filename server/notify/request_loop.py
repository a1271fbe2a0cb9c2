"""Brings what visitors asked to the marketing tools, one request after another, again and again until a tool took it.

In: requests of one kind, and what brings one. Out: what became of each, as the store keeps it. A tool that refuses is told to people,
and asked again: they may mend it within the week after which a request is parked. One that the tool will never take is parked at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from functools import partial

from server import logs, metrics
from server.errors import AudienceError, AudienceUnavailable, RedisUnavailable, RequestRefused
from server.logs import RepeatedWarning, log_bug
from server.model import SiteId
from server.rounds import repeat
from server.store.notify_requests import NotifyRequests, Request, RequestKind
from server.timed_event import TimedEvent

LOOK_EVERY = 1.0
"""Seconds between two looks at what is due."""
AT_ONCE = 50
"""Requests of a site after which the next site has its turn."""
BRING_WITHIN = 60.0
"""Seconds for one request: half of the time for which it is claimed."""

log = logs.logger("notify")


class RequestLoop:
    """The requests of one kind, for one process. *bring* raises AudienceError; *sites* answers the known sites."""

    def __init__(
        self,
        kind: RequestKind,
        requests: NotifyRequests,
        sites: Callable[[], Collection[SiteId]],
        bring: Callable[[Request], Awaitable[None]],
        *,
        within: float = BRING_WITHIN,
    ) -> None:
        self.kind = kind
        self._requests = requests
        self._sites = sites
        self._bring = bring
        self._within = within
        self._not_brought = RepeatedWarning(log, "request_not_brought")
        self._unavailable = RepeatedWarning(log, "store_unavailable")

    async def run(self, stopping: TimedEvent) -> None:
        """Bring what is due until *stopping* is set; the one in hand is still brought."""

        async def once() -> float:
            return 0.0 if await self.bring_due(stopping) else LOOK_EVERY

        await repeat(
            once,
            stopping,
            warning=self._unavailable,
            key="requests",
            on_bug=partial(log_bug, log, "notify_bug"),
            retry=LOOK_EVERY,
        )

    async def bring_due(self, stopping: TimedEvent | None = None) -> bool:
        """Bring what is due of each site; answers whether there may be more. Raises RedisUnavailable."""
        more = False
        for site in sorted(self._sites()):
            for _ in range(AT_ONCE):
                if stopping is not None and stopping.is_set():
                    return False
                request = await self._requests.claim(site, self.kind)
                if request is None:
                    break
                await self._try(request)
            else:
                more = True
        return more

    async def _try(self, request: Request) -> None:
        try:
            async with asyncio.timeout(self._within):
                await self._bring(request)
        except TimeoutError:
            await self._failed(request, f"no answer within {self._within:.0f} s", None)
        except RequestRefused as error:
            await self._failed(request, str(error), None, for_good=True)
        except AudienceError as error:
            retry_after = error.retry_after if isinstance(error, AudienceUnavailable) else None
            await self._failed(request, str(error), retry_after)
        except RedisUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - a bug at one request must stop neither the others nor the counter
            log_bug(log, "notify_bug", error, kind=self.kind)
            await self._failed(request, f"a bug: {type(error).__name__}", None)
        else:
            await self._requests.done(request)
            metrics.notify_requests.labels(self.kind, "done").inc()
            self._not_brought.resolved(request.about, kind=self.kind, about=request.about)

    async def _failed(
        self, request: Request, reason: str, retry_after: float | None, *, for_good: bool = False
    ) -> None:
        parked = await self._requests.failed(request, reason, retry_after, for_good=for_good)
        metrics.notify_requests.labels(self.kind, "parked" if parked else "failed").inc()
        self._not_brought.warn(request.about, kind=self.kind, about=request.about, reason=reason)
