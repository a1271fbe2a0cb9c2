import asyncio
import json

import pytest

from server.errors import EventNotListed
from server.model import Event, EventId
from server.store.events import Events
from tests.rig.default_keys import key
from tests.rig.event_viewer import SOON, UNKNOWN_EVENT, counters, listed, messages
from tests.rig.fake_reader import EVENT, definition
from tests.rig.hub_rig import SITE_ID, HubRig
from tests.rig.redis import Servers
from tests.rig.server import OTHER, TICKET, until


async def test_lost_announcement_is_found_by_a_round(rig: HubRig) -> None:
    """A change of a list that no message announced is found by the next round."""
    await rig.reads.read(definition(TICKET, 3))
    viewer, _ = rig.watch_event(EVENT)
    await until(lambda: counters(viewer))

    await rig.store.do("SET", key(SITE_ID, "shown", EVENT), json.dumps(listed(OTHER), separators=(",", ":")))

    await until(lambda: messages(viewer)[-1] == SOON)


async def test_event_is_found_by_its_slug(rig: HubRig) -> None:
    """An event is found by its slug, and its viewers hear of a change as those who name its id."""
    await Events(rig.store).keep(
        SITE_ID, 1, [EventId(EVENT)], [Event(EventId(EVENT), slug="gala", facts={"slug": "gala"})]
    )
    await rig.reads.read(definition(TICKET, 3))
    viewer, _ = rig.watch_event("gala")
    await until(lambda: counters(viewer))
    assert listed(TICKET) == messages(viewer)[0]

    await rig.reads.read(definition(OTHER, 3))

    await until(lambda: messages(viewer)[-1] == SOON)


async def test_event_that_appears_is_found(rig: HubRig) -> None:
    """An event that was not known is shown as soon as it is: its refusal ends."""
    viewer, _ = rig.watch_event(EVENT)
    await until(lambda: viewer.refusal is not None)

    await rig.reads.read(definition(TICKET, 3))

    async def shown() -> bool:
        again, _ = rig.watch_event(EVENT)
        return listed(TICKET) in messages(again)

    await until(shown)


async def test_list_stays_when_redis_lost_its_data(rig: HubRig) -> None:
    """When Redis has lost its data, viewers keep the list that they have: it comes back with the site's next listing."""
    await rig.reads.read(definition(TICKET, 3))
    viewer, _ = rig.watch_event(EVENT)
    await until(lambda: counters(viewer))

    await rig.store.do("FLUSHALL")
    await asyncio.sleep(0.5)

    assert (None, None) == (viewer.code, viewer.refusal)


async def test_list_of_another_event(rig: HubRig) -> None:
    """A list that names another event than the key is not shown."""
    other = json.dumps({"event": EVENT, "tickets": [TICKET]}, separators=(",", ":"))
    await rig.store.do("SET", key(SITE_ID, "shown", UNKNOWN_EVENT), other)
    viewer, _ = rig.watch_event(UNKNOWN_EVENT)

    await until(lambda: viewer.refusal is not None)
    assert [] == viewer.writes


TOO_MANY = json.dumps(
    {"event": EVENT, "tickets": [f"{number:08}-aaaa-4aaa-8aaa-000000000001" for number in range(101)]},
    separators=(",", ":"),
)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"event":1,"tickets":[]}', '{"event":"x","tickets":["y"]}', "\x00", TOO_MANY]
)
async def test_text_of_another_program_is_no_list(rig: HubRig, text: str) -> None:
    """What no process of ours wrote is not shown: viewers keep what they have, new ones come back later."""
    await rig.reads.read(definition(TICKET, 3))
    viewer, _ = rig.watch_event(EVENT)
    await until(lambda: counters(viewer))

    await rig.store.do("SET", key(SITE_ID, "shown", EVENT), text)
    await rig.store.do("SET", key(SITE_ID, "shown", UNKNOWN_EVENT), text)
    other, _ = rig.watch_event(UNKNOWN_EVENT)

    await until(lambda: other.refusal is not None)
    assert isinstance(other.refusal, EventNotListed)
    assert (None, None) == (viewer.code, viewer.refusal)


async def test_redis_unavailable(redis_server: Servers) -> None:
    """While Redis does not answer, a viewer of an event waits; when it does again, it gets the list."""
    server = redis_server()
    async with HubRig(server.url) as rig:
        await rig.reads.read(definition(TICKET, 3))
        server.ask("CONFIG", "SET", "maxmemory", "1")
        viewer, _ = rig.watch_event(EVENT)
        await asyncio.sleep(0.5)
        assert ([], None) == (viewer.writes, viewer.refusal)

        server.ask("CONFIG", "SET", "maxmemory", "0")
        await until(lambda: messages(viewer)[:1] == [listed(TICKET)])
