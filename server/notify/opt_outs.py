"""Brings opt-outs to the marketing tool, where the address was taken from; nothing is sent to it meanwhile, nor afterwards.

In: requests that /u/TOKEN kept, whose suppression is written already. Out: the address is off the tool's list. A list that
notify.toml does not name any more cannot be told: that is said in `notify status`, and the suppression stays.
"""

from collections.abc import Callable, Collection, Mapping

from server.errors import AudienceRefused
from server.keyring import KeyRing, Purpose
from server.model import SiteId
from server.notify.audience.source import AudienceSource
from server.notify.request_loop import RequestLoop
from server.store.notify_requests import NotifyRequests, Request, RequestKind
from server.timed_event import TimedEvent


class OptOuts:
    """The opt-outs of one process. *sources* answers the source of each event of a site that has one (EventSources.of)."""

    def __init__(
        self,
        requests: NotifyRequests,
        keyring: KeyRing,
        sources: Callable[[SiteId], Mapping[str, AudienceSource]],
        sites: Callable[[], Collection[SiteId]],
    ) -> None:
        self._keyring = keyring
        self._sources = sources
        self.loop = RequestLoop(RequestKind.OPT_OUT, requests, sites, self.bring)

    async def run(self, stopping: TimedEvent) -> None:
        """Bring opt-outs to the tools until *stopping* is set."""
        await self.loop.run(stopping)

    async def bring(self, request: Request) -> None:
        """Take one address off its list; raises AudienceError."""
        found = self._keyring.decrypt(Purpose.OPT_OUT, request.content)
        if found is None:
            raise AudienceRefused(
                "NOTIFY_KEYS lacks the key of this opt-out: put it back, behind the newer ones. Nothing is sent to the address"
            )
        source = next((one for one in self._sources(request.site).values() if one.place == request.about), None)
        if source is None:
            raise AudienceRefused(
                f"notify.toml names no list {request.about} any more, so it cannot be told: name it again for an event. "
                "Nothing is sent to the address"
            )
        await source.opt_out(str(found["a"]))
