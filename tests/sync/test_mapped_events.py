"""Which event of a target belongs to which event of Wix, by id and by slug."""

from collections.abc import AsyncIterator

import pytest

from server.counter import Rules
from server.errors import NotStarted
from server.model import SiteId
from server.sync.mapped_events import MappedEvent, MappedEvents
from tests.rig.applier_rig import EVENT_ID, OTHER_EVENT, SITE_ID, ApplierRig, ticket_id

OTHER_SITE = SiteId("5f0e4d3c-1111-4111-8111-00000000b002")


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[ApplierRig]:
    async with ApplierRig.on(redis_url) as found:
        await found.says(ticket_id(1))
        yield found


async def named(rig: ApplierRig, slug: str, site: SiteId = SITE_ID) -> None:
    """The event was read, and has this slug."""
    keys = rig.stores.due.keys
    await rig.reader.store.do("HSET", keys.key(site, "slugs"), slug, EVENT_ID)
    snapshot = keys.key(site, "event_snapshot", EVENT_ID)
    await rig.reader.store.do("HSET", snapshot, "slug", slug, "facts", '{"title":"Spring Gala"}', "read_at", "1")


def events(rig: ApplierRig, **its: str) -> MappedEvents:
    """The events of a target whose file names these."""
    settings = rig.new_applier(events={name.replace("_", "-"): one for name, one in its.items()}).settings
    return MappedEvents(settings, rig.stores.definitions)


async def test_event_is_found_by_the_name_that_the_file_gives_it(rig: ApplierRig) -> None:
    """An id or a slug stands for the event, and so does what a person writes."""
    await named(rig, "spring-gala")
    by_slug = events(rig, spring_gala="ev1")
    wanted = MappedEvent(SITE_ID, EVENT_ID, "Spring Gala", "ev1", rig.settings.place("ev1"))

    assert wanted == await by_slug.of(SITE_ID, EVENT_ID)
    assert [wanted] == await by_slug.all(SITE_ID)
    assert wanted == await by_slug.find([SITE_ID], "spring-gala")
    assert wanted == await by_slug.find([SITE_ID], EVENT_ID.upper())
    assert "ev1" == (await rig.applier.events.find([SITE_ID], "spring-gala")).target_event


async def test_event_that_the_file_does_not_name_is_none(rig: ApplierRig) -> None:
    """It is not one of the target's, and a person is told which line is missing."""
    none = events(rig, summer_ball="ev2")

    assert (await none.of(SITE_ID, EVENT_ID), await none.all(SITE_ID)) == (None, [])
    with pytest.raises(NotStarted, match="has no event for"):
        await none.find([SITE_ID], EVENT_ID)


async def test_event_of_two_sites_needs_the_site(rig: ApplierRig) -> None:
    """A slug that two sites have is not guessed about; one that nobody has is told."""
    await rig.reader.schedule.add_site(OTHER_SITE, Rules(), everything=True)
    for site in (SITE_ID, OTHER_SITE):
        await named(rig, "spring-gala", site)
    found = events(rig, spring_gala="ev1")

    with pytest.raises(NotStarted, match="add --site"):
        await found.find([SITE_ID, OTHER_SITE], "spring-gala")
    with pytest.raises(NotStarted, match="no event 'autumn' is known"):
        await found.find([SITE_ID, OTHER_SITE], "autumn")
    with pytest.raises(NotStarted, match="no event"):
        await found.find([SITE_ID], OTHER_EVENT)
