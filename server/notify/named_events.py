"""Which event of Wix is meant by a name: that of notify.toml, or of a person, as an id or a slug.

In: the sites and what is stored of their events. Out: a NamedEvent, or NotStarted with what to do.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from server.errors import NotStarted
from server.model import EventId, SiteId
from server.notify.config import EventAudience, NotifyConfig
from server.store.definitions import Definitions, StoredEvent
from server.wire import guid


@dataclass(frozen=True, slots=True)
class NamedEvent:
    """An event that notify.toml names, at a site that has it."""

    site: SiteId
    stored: StoredEvent
    audience: EventAudience

    @property
    def id(self) -> EventId:
        """Its id at Wix."""
        return self.stored.event

    @property
    def name(self) -> str:
        """What notify.toml calls it."""
        return self.audience.event


class NamedEvents:
    """The events of notify.toml. Methods raise RedisUnavailable."""

    def __init__(self, config: NotifyConfig, definitions: Definitions) -> None:
        self._config = config
        self._definitions = definitions

    async def all(self, sites: Collection[SiteId]) -> Sequence[NamedEvent]:
        """Those that some site has."""
        return [one for audience in self._config.events.values() for one in await self._at(audience, sites)]

    async def unknown(self, sites: Collection[SiteId]) -> Sequence[str]:
        """The names of those that no site has."""
        return [name for name, audience in self._config.events.items() if not await self._at(audience, sites)]

    async def doubles(self, sites: Collection[SiteId]) -> Sequence[str]:
        """What to do about each event that notify.toml names more than once: by its id, and by its slug."""
        lines: dict[tuple[SiteId, EventId], list[NamedEvent]] = {}
        for one in await self.all(sites):
            lines.setdefault((one.site, one.id), []).append(one)
        return [self._double(named) for named in lines.values() if len(named) > 1]

    def _double(self, named: Sequence[NamedEvent]) -> str:
        places = " and ".join(f"{self._config.file}:{one.audience.line} ({one.name!r})" for one in named)
        return f"{places} name the same event: remove one of them"

    async def find(self, name: str, sites: Collection[SiteId]) -> NamedEvent:
        """The event that a person means; raises NotStarted where notify.toml does not name it, or no site has it, or several do."""
        name = guid(name) or name
        found = [one for one in await self.all(sites) if await self._is(one, name)]
        if len(found) == 1:
            return found[0]
        if len({(one.site, one.id) for one in found}) == 1:
            raise NotStarted(self._double(found))
        if found:
            places = ", ".join(dict.fromkeys(one.site for one in found))
            raise NotStarted(f"several sites have an event {name!r}: add --site with one of {places}")
        if name in self._config.events:
            raise NotStarted(
                f"no event {name!r} is known, which {self._config.file}:{self._config.events[name].line} names: give its id, or its "
                "slug (the end of its address), and wait until a worker has read a ticket of it"
            )
        raise NotStarted(
            f"{self._config.file} has no event {name!r}, so it is never announced. Its events: {', '.join(self._config.events)}"
        )

    async def with_tool(self, name: str | None, sites: Collection[SiteId]) -> NamedEvent:
        """This event, or the only one that has a tool; raises NotStarted where it has none, or several have one."""
        if name is not None:
            found = await self.find(name, sites)
            if found.audience.tool is None:
                raise NotStarted(f"{found.name} has no tool in {self._config.file}, so there is no mail about it")
            return found
        having = [one for one in await self.all(sites) if one.audience.tool is not None]
        if len(having) != 1:
            names = ", ".join(sorted({one.name for one in having}))
            raise NotStarted(
                f"say which event: --event with one of {names}" if having else "no event with a tool is known yet"
            )
        return having[0]

    async def _at(self, audience: EventAudience, sites: Collection[SiteId]) -> list[NamedEvent]:
        found = []
        for site in sorted(sites):
            stored = await self._definitions.find_event(site, audience.event)
            if stored is not None:
                found.append(NamedEvent(site, stored, audience))
        return found

    async def _is(self, event: NamedEvent, name: str) -> bool:
        if name in {event.name, event.id}:
            return True
        return await self._definitions.slug(event.site, event.id) == name
