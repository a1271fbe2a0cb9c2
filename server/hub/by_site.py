"""Asks Redis for topics site by site, all at once: in a cluster a part of Redis that hangs delays no other site.

In: topics, and what is to be asked for those of one site. Out: the sites for which Redis did not answer, each logged once, and when
they may be asked for again.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Container, Iterable

from server import logs
from server.errors import RedisUnavailable
from server.hub.topics import Topic
from server.model import SiteId

RETRY = 0.5
"""Seconds after which a site is asked for again whose part of Redis did not answer."""

log = logs.logger("feed")


class BySite:
    """The sites of one process; *now* gives the event loop's time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        # Sites for which Redis did not answer last time, and when they may be asked for again.
        self._unavailable: dict[SiteId, float] = {}

    def failed(self, site: SiteId) -> bool:
        """Whether Redis did not answer for this site last time."""
        return site in self._unavailable

    def may_ask(self, site: SiteId) -> bool:
        """Whether it is time to ask for this site."""
        now = self._now()
        return self._unavailable.get(site, now) <= now

    def keep_only(self, sites: Container[SiteId]) -> None:
        """Forget all sites but these."""
        self._unavailable = {site: until for site, until in self._unavailable.items() if site in sites}

    async def each(self, topics: Iterable[Topic], ask: Callable[[SiteId, list[Topic]], Awaitable[None]]) -> None:
        """Call *ask* for each site with its topics, all at once."""
        by_site = itertools.groupby(sorted(topics, key=lambda topic: topic.site), key=lambda topic: topic.site)
        asked = [(site, list(some)) for site, some in by_site]
        await asyncio.gather(*(self._ask(site, some, ask) for site, some in asked))

    async def _ask(
        self, site: SiteId, topics: list[Topic], ask: Callable[[SiteId, list[Topic]], Awaitable[None]]
    ) -> None:
        try:
            await ask(site, topics)
        except RedisUnavailable as error:
            if site not in self._unavailable:
                log.warning("store_unavailable", site=site, error=str(error))
            self._unavailable[site] = self._now() + RETRY
        else:
            self._unavailable.pop(site, None)
