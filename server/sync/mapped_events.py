"""Which event of a target belongs to which event of Wix, by the `events` of sync.toml, where each is an id or a slug.

In: an event of a site, or what a person calls it. Out: the target's event, or the event's id.
"""

from dataclasses import dataclass

from server.errors import NotStarted
from server.model import EventId, SiteId
from server.store.definitions import Definitions
from server.store.sync_records import FollowedEvent
from server.sync.mapping import TargetSettings
from server.wire import guid


@dataclass(frozen=True, slots=True)
class MappedEvent:
    """An event of Wix, with its event at the target."""

    site: SiteId
    event: EventId
    title: str
    target_event: str
    place: str

    def is_followed(self, known: FollowedEvent | None) -> bool:
        """Whether it was applied where it is now: another event, organizer or address needs an apply of its own."""
        return known is not None and known.place == self.place


class MappedEvents:
    """The events that one target has. Every method raises RedisUnavailable."""

    def __init__(self, settings: TargetSettings, definitions: Definitions) -> None:
        self.settings = settings
        self.definitions = definitions

    async def of(self, site: SiteId, event: EventId) -> MappedEvent | None:
        """This event with that of the target; None where sync.toml does not name it."""
        named = self.settings.events
        target_event = next((its for name, its in named.items() if guid(name) == event), None)
        if target_event is None:
            slug = await self.definitions.slug(site, event)
            target_event = named.get(slug) if slug else None
        if target_event is None:
            return None
        stored = await self.definitions.event(site, event)
        title = stored.title if stored else ""
        return MappedEvent(site, event, title, target_event, self.settings.place(target_event))

    async def all(self, site: SiteId) -> list[MappedEvent]:
        """The events of sync.toml that are known of this site."""
        found = []
        for name, target_event in self.settings.events.items():
            stored = await self.definitions.find_event(site, name)
            if stored:
                place = self.settings.place(target_event)
                found.append(MappedEvent(site, stored.event, stored.title, target_event, place))
        return found

    async def find(self, sites: list[SiteId], name: str) -> MappedEvent:
        """The event that a person calls by its id or slug; raises NotStarted with what to do where there is none, or two."""
        stored_by_site = [(site, await self.definitions.find_event(site, name)) for site in sites]
        found = [(site, stored) for site, stored in stored_by_site if stored]
        if not found:
            raise NotStarted(
                f"no event {name!r} is known: give its id, or its slug as in the address of its page. Events are known "
                "once `ticket-counter serve` or `worker` has read the site"
            )
        if len(found) > 1:
            raise NotStarted(f"{len(found)} sites have an event {name!r}: add --site with one of {', '.join(sites)}")
        site, stored = found[0]
        mapped = await self.of(site, stored.event)
        if mapped is None:
            raise NotStarted(
                f"target {self.settings.name} has no event for {name!r}: add a line to its `events`, "
                f'such as {{ {name} = "its event" }}'
            )
        return mapped
