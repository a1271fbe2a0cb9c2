"""An event as a worker has stored it, for stages that find it by its id or slug."""

from server.model import Event, EventId, SiteId
from server.redis.client import RedisClient
from server.store.budget import Priority
from server.store.events import Events
from server.store.schedule import Schedule


async def store_event(store: RedisClient, site: SiteId, event: EventId, slug: str, title: str) -> None:
    """Store a read of an event; the site must be known."""
    version = await Schedule(store).spend(site, Priority.HINTED)
    assert isinstance(version, int)
    read = Event(event, slug=slug, facts={"id": event, "title": title})
    await Events(store).keep(site, version, [event], [read])
