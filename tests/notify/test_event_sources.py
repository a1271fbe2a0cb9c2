from pathlib import Path

import pytest

from server.errors import NotStarted
from server.model import SiteId
from server.notify.audience.source import AudienceSource
from server.notify.config import EventAudience, NotifyConfig, Tool
from server.notify.event_sources import EventSources
from tests.rig.notify_models import ModelAudience

SITE, OTHER = SiteId("5f0e4d3c-1111-4111-8111-00000000b001"), SiteId("5f0e4d3c-1111-4111-8111-00000000b002")
TOOL = Tool("lists", "mailman")
EVENTS = {
    "gala": EventAudience("gala", TOOL),
    "ball": EventAudience("ball", TOOL),
    "fair": EventAudience("fair", push=True),
}
CONFIG = NotifyConfig(Path("notify.toml"), EVENTS, "https://counter.example.org")


async def test_each_source_is_opened_once_and_closed() -> None:
    """Each event with a tool has one source a site, which is kept open until all are closed."""
    opened: list[tuple[SiteId, str, ModelAudience]] = []

    def open_source(site: SiteId, audience: EventAudience) -> AudienceSource:
        opened.append((site, audience.event, ModelAudience()))
        return opened[-1][2]

    sources = EventSources(CONFIG, open_source)

    first = sources.of(SITE)
    assert ["gala", "ball"] == list(first)
    assert first == sources.of(SITE)
    assert not set(map(id, first.values())) & set(map(id, sources.of(OTHER).values()))
    assert [(SITE, "gala"), (SITE, "ball"), (OTHER, "gala"), (OTHER, "ball")] == [one[:2] for one in opened]
    assert not any(one.closed for *_, one in opened)

    await sources.aclose()

    assert all(one.closed for *_, one in opened)
    await sources.aclose()


@pytest.mark.parametrize("broken", ["gala", "ball"])
async def test_a_source_that_cannot_be_opened_is_left_out(broken: str) -> None:
    """An event whose source cannot be opened concerns no other one, and is tried again."""
    refuse = True

    def open_source(_: SiteId, audience: EventAudience) -> AudienceSource:
        if refuse and audience.event == broken:
            raise NotStarted("the file list.csv is not there")
        return ModelAudience()

    sources = EventSources(CONFIG, open_source)
    assert {"gala", "ball"} - {broken} == set(sources.of(SITE))

    refuse = False

    assert {"gala", "ball"} == set(sources.of(SITE))
