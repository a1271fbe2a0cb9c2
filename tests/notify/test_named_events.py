from pathlib import Path

import pytest

from server.errors import NotStarted
from server.model import EventId, SiteId
from server.notify.config import EventAudience, NotifyConfig, Tool
from server.notify.named_events import NamedEvents
from server.redis.client import RedisClient
from server.store.definitions import Definitions
from tests.rig.default_keys import key

SITES = [SiteId(f"{one * 8}-1111-4111-8111-00000000b001") for one in "ab"]
GALA, BALL = (EventId(f"{one * 8}-4444-4444-8444-00000000e001") for one in "cd")


@pytest.fixture
async def events(store: RedisClient) -> NamedEvents:
    """notify.toml names the gala by its slug and the ball by its id; both are at the first site, the gala at the second one too."""
    for site, event, slug in ((SITES[0], GALA, "gala"), (SITES[0], BALL, "ball"), (SITES[1], GALA, "gala")):
        await store.do("HSET", key(site, "slugs"), slug, event)
        await store.do("HSET", key(site, "event_snapshot", event), "facts", "{}", "slug", slug, "read_at", "1")
    audiences = {name: EventAudience(name, push=True, line=line) for name, line in (("gala", 2), (BALL, 4), ("x", 6))}
    return NamedEvents(NotifyConfig(Path("notify.toml"), audiences, ""), Definitions(store))


async def test_all_events_that_are_known(events: NamedEvents) -> None:
    """Each event of notify.toml is found at each site that has it; those that none has are told."""
    found = await events.all(SITES)

    assert [(SITES[0], GALA, "gala"), (SITES[1], GALA, "gala"), (SITES[0], BALL, BALL)] == [
        (one.site, one.id, one.name) for one in found
    ]
    assert ["x"] == await events.unknown(SITES)


@pytest.mark.parametrize("name", ["ball", BALL, BALL.upper()])
async def test_event_by_any_of_its_names(events: NamedEvents, name: str) -> None:
    """An event is found by its id and by its slug, whichever of them notify.toml has."""
    assert BALL == (await events.find(name, SITES)).id


async def test_event_that_is_not_found(events: NamedEvents) -> None:
    """An event of several sites, one that is not in notify.toml, and one that no site has are told with what to do."""
    told = {}
    for name in ("gala", "y", "x"):
        with pytest.raises(NotStarted) as caught:
            await events.find(name, SITES)
        told[name] = str(caught.value)

    assert f"several sites have an event 'gala': add --site with one of {SITES[0]}, {SITES[1]}" == told["gala"]
    assert f"notify.toml has no event 'y', so it is never announced. Its events: gala, {BALL}, x" == told["y"]
    assert told["x"].startswith("no event 'x' is known, which notify.toml:6 names: give its id, or its slug")
    assert SITES[1] == (await events.find("gala", SITES[1:])).site


async def test_event_that_is_named_twice(store: RedisClient, events: NamedEvents) -> None:
    """An event that is named by its id and by its slug is told with both lines, not as one of several sites."""
    audiences = {name: EventAudience(name, push=True, line=line) for name, line in (("ball", 2), (BALL, 4))}
    twice = NamedEvents(NotifyConfig(Path("notify.toml"), audiences, ""), Definitions(store))
    told = f"notify.toml:2 ('ball') and notify.toml:4 ('{BALL}') name the same event: remove one of them"

    with pytest.raises(NotStarted) as caught:
        await twice.find("ball", SITES)
    assert told == str(caught.value)
    assert ([told], []) == (await twice.doubles(SITES), await events.doubles(SITES))


async def test_event_with_a_tool(store: RedisClient, events: NamedEvents) -> None:
    """Where no event is named the only one with a tool is meant; none, several, and a named one without a tool are told."""
    tool = Tool("lists", "csv")
    audiences = {"gala": EventAudience("gala", tool), BALL: EventAudience(BALL, push=True)}
    one = NamedEvents(NotifyConfig(Path("notify.toml"), audiences, ""), Definitions(store))
    several = NamedEvents(
        NotifyConfig(Path("notify.toml"), {**audiences, BALL: EventAudience(BALL, tool)}, ""), Definitions(store)
    )

    assert GALA == (await one.with_tool(None, SITES[:1])).id
    assert GALA == (await several.with_tool("gala", SITES[:1])).id
    for found, name, fault in (
        (events, None, "no event with a tool is known yet"),
        (several, None, f"say which event: --event with one of {BALL}, gala"),
        (one, "ball", f"{BALL} has no tool in notify.toml"),
    ):
        with pytest.raises(NotStarted, match=fault):
            await found.with_tool(name, SITES[:1])
