"""Asks the tool of each event for its audience at the start, and once an hour, so that a wrong list is seen before the sale.

In: the audience source of each event. Out: nothing but log lines: a warning `audience_refused` where a tool has no such list, or
refuses our password. A tool that does not answer is asked again a minute later.
"""

import time
from collections.abc import Callable, Collection, Mapping

from server import logs
from server.errors import AudienceRefused, AudienceUnavailable, RedisUnavailable
from server.logs import RepeatedWarning, log_bug
from server.model import SiteId
from server.notify.audience.source import AudienceSource
from server.store.definitions import Definitions
from server.timed_event import TimedEvent

CHECK_EVERY = 3600.0
"""Seconds between two times that a tool which answered is asked."""
RETRY_AFTER = 60.0
"""Seconds until a tool is asked again that did not answer."""
LOOK_EVERY = 1.0
"""Seconds between two looks for audiences that are to be checked: a site may be known only some time after the start."""

log = logs.logger("notify")


class AudienceCheck:
    """The checks of one process. *sources* answers the source of each event of a site that has one (EventSources.of)."""

    def __init__(
        self,
        definitions: Definitions,
        sources: Callable[[SiteId], Mapping[str, AudienceSource]],
        sites: Callable[[], Collection[SiteId]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._definitions = definitions
        self._sources = sources
        self._sites = sites
        self._clock = clock
        self._check_at: dict[tuple[SiteId, str], float] = {}
        self._refused = RepeatedWarning(log, "audience_refused", clock=clock)

    async def run(self, stopping: TimedEvent) -> None:
        """Check audiences until *stopping* is set."""
        while not stopping.is_set():
            for site in sorted(self._sites()):
                await self.check(site, stopping)
            await stopping.within(LOOK_EVERY)

    async def check(self, site: SiteId, stopping: TimedEvent) -> None:
        """Ask for the audience of each event of a site that was not asked for lately."""
        for name, source in self._sources(site).items():
            if stopping.is_set() or self._clock() < self._check_at.get((site, name), 0.0):
                continue
            try:
                wait = await self._ask(site, name, source, stopping)
            except (AudienceUnavailable, RedisUnavailable) as error:
                log.debug("audience_not_counted", site=site, event_name=name, error=str(error))
                wait = RETRY_AFTER
            except Exception as error:  # noqa: BLE001 - a bug here must not stop the counter, which this process serves too
                log_bug(log, "notify_bug", error, site=site)
                wait = RETRY_AFTER
            self._check_at[site, name] = self._clock() + wait

    async def _ask(self, site: SiteId, name: str, source: AudienceSource, stopping: TimedEvent) -> float:
        """Ask one tool; answers the seconds until it is asked again."""
        # Where several sites are known, the list of an event is of the site that has it.
        if len(self._sites()) > 1 and await self._definitions.find_event(site, name) is None:
            return RETRY_AFTER
        try:
            await stopping.unless(source.count())
        except AudienceRefused as error:
            self._refused.warn(f"{site} {name}", site=site, event_name=name, error=str(error))
        else:
            self._refused.resolved(f"{site} {name}", site=site, event_name=name)
        return CHECK_EVERY
