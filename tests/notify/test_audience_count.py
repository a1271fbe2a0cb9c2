import os
from pathlib import Path

import pytest

from server.errors import AudienceUnavailable
from server.keyring import KeyRing, Purpose
from server.notify.audience.csv_file import CsvFile
from server.notify.audience.source import SourceContext
from server.notify.audience_count import count_audience
from server.notify.config import EventAudience, Tool
from server.notify.reports import Audience
from server.redis.client import RedisClient
from server.store.suppressions import Suppressions
from tests.rig.campaigns import SITE
from tests.rig.notify_models import ModelAudience, people

RING = KeyRing(["n" * 43])


async def test_everyone_is_counted(store: RedisClient) -> None:
    """Of all pages are counted: who has no usable address, is listed twice, left here, has delivery off, or has left the list."""
    audience = ModelAudience(people(20))
    audience.subscribe("no address")
    audience.subscribe("P1@Example.ORG")
    audience.subscribe("off@example.org", delivery_off=True)
    audience.subscribe("gone@example.org")
    audience.on_page = lambda number: audience.leave("gone@example.org") if number == 4 else None
    suppressions = Suppressions(store)
    await suppressions.add(SITE, RING.hashes(Purpose.SUPPRESSION, audience.place, "p2@example.org"), "opted out")

    found = await count_audience(audience, SITE, suppressions, RING, page=7)

    expected = Audience(audience.place, 24, 24, unusable=1, twice=1, suppressed=1, asked=21, delivery_off=1, not_in=1)
    assert expected == found
    assert 19 == found.mails


async def test_lines_that_cannot_be_read(store: RedisClient, tmp_path: Path) -> None:
    """Lines of a file that cannot be read count as unusable, and the first of their numbers are told."""
    path = tmp_path / "people.csv"
    path.write_text("email\nada@example.org\n" + "no address\n" * 25 + "bob@example.org\n")
    os.utime(path, (1.8e9, 1.8e9))
    source = CsvFile(EventAudience("x", Tool("x", "csv", own={"file": path.name})), SourceContext(SITE, tmp_path))

    found = await count_audience(source, SITE, Suppressions(store), RING, page=1)

    assert (27, 27, 25, 2) == (found.members, found.read, found.unusable, found.mails)
    assert tuple(range(3, 23)) == found.unusable_lines


async def test_tool_that_is_not_asked(store: RedisClient) -> None:
    """A tool whose pages say all is asked about no one."""
    audience = ModelAudience(people(3), asks_each=False)

    found = await count_audience(audience, SITE, Suppressions(store), RING)
    assert (None, 3, []) == (found.asked, found.mails, audience.asked)


async def test_time_for_asking_ends(store: RedisClient) -> None:
    """Where asking takes too long, all pages are read still, and it is told about how many the tool was asked."""
    audience = ModelAudience(people(30))

    found = await count_audience(audience, SITE, Suppressions(store), RING, page=10, asking_lasts=0.0)
    assert (30, 0, 30) == (found.read, found.asked, found.mails)


async def test_tool_that_does_not_answer(store: RedisClient) -> None:
    """A fault of the tool is raised: half a count would be wrong."""
    audience = ModelAudience(people(30), faults={2: AudienceUnavailable("down")})

    with pytest.raises(AudienceUnavailable):
        await count_audience(audience, SITE, Suppressions(store), RING, page=10)
