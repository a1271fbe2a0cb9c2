"""The audience sources of the events of notify.toml, each opened once and kept open.

In: notify.toml, and what opens a source. Out: the source of each event of a site that has one. An event whose source cannot be
opened is told, and left out.
"""

from collections.abc import Callable, Mapping

from server import logs
from server.errors import NotStarted
from server.logs import RepeatedWarning
from server.model import SiteId
from server.notify.audience.source import AudienceSource
from server.notify.config import EventAudience, NotifyConfig

OpenSource = Callable[[SiteId, EventAudience], AudienceSource]
"""Opens the source of an event that has a tool; raises NotStarted."""

log = logs.logger("notify")


class EventSources:
    """The sources of one process."""

    def __init__(self, config: NotifyConfig, open_source: OpenSource) -> None:
        self._config = config
        self._open_source = open_source
        self._opened: dict[tuple[SiteId, str], AudienceSource] = {}
        self._not_opened = RepeatedWarning(log, "audience_not_opened")

    def of(self, site: SiteId) -> Mapping[str, AudienceSource]:
        """The source of each event that has one, by the event's name in notify.toml."""
        found = {}
        for name, audience in self._config.events.items():
            source = self._opened.get((site, name))
            if source is None and audience.tool is not None:
                source = self._open(site, name, audience)
            if source is not None:
                found[name] = source
        return found

    async def aclose(self) -> None:
        """Close the connections to the tools."""
        for source in self._opened.values():
            await source.aclose()
        self._opened.clear()

    def _open(self, site: SiteId, name: str, audience: EventAudience) -> AudienceSource | None:
        try:
            source = self._open_source(site, audience)
        except NotStarted as error:
            self._not_opened.warn(f"{site} {name}", site=site, event_name=name, error=str(error))
            return None
        self._not_opened.resolved(f"{site} {name}", site=site, event_name=name)
        self._opened[site, name] = source
        return source
