from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from server.catalog import catalog
from server.catalog.catalog import Catalog, ReadFrom
from server.errors import NotStarted, WixUnavailable
from server.model import SiteId, TicketId
from server.redis.client import RedisClient, Use
from server.store import wix_faults
from server.store.schedule import Schedule
from tests.rig.redis import free_port
from tests.rig.server import SITE, until
from tests.rig.settings import valid_settings
from tests.rig.time_travel import elapse
from tests.rig.wix import WixRig
from tests.rig.worker_rig import WorkerRig, running_worker

FOREIGN = "5f0e4d3c-1111-4111-8111-00000000b002"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    """A client of the test's Redis."""
    async with aclosing(RedisClient(redis_url, Use.WORK)) as found:
        yield found


@pytest.fixture
async def worker(redis_url: str, wix: WixRig) -> AsyncIterator[WorkerRig]:
    """A worker that has listed the sandbox's site."""
    async with running_worker(redis_url, wix) as found:
        await found.add_site(wix.site, everything=True)
        await until(lambda: _complete(found))
        yield found


async def _complete(worker: WorkerRig) -> bool:
    return bool(await worker.store.do("HGET", worker.schedule.keys.key(SITE, "site"), "complete") == "1")


async def read(wix: WixRig, redis_url: str | None, **given: Any) -> Catalog:
    return await catalog.read(valid_settings(**{**wix.settings(), **given}), redis_url)


def ids(found: Catalog) -> set[str]:
    return {one.ticket for event in found.events for one in event.tickets}


async def test_redis_is_read_while_a_worker_runs(worker: WorkerRig, redis_url: str, wix: WixRig) -> None:
    """While a worker keeps Redis true, a command costs no call to Wix, and has nothing to note."""
    calls = len(wix.calls())

    found = await read(wix, redis_url)

    assert set(wix.tickets.values()) == ids(found)
    assert (frozenset({ReadFrom.REDIS}), ()) == (found.read_from, found.notes)
    assert calls == len(wix.calls())


async def test_fault_of_wix_is_noted_beside_stored_numbers(worker: WorkerRig, redis_url: str, wix: WixRig) -> None:
    """While Wix fails, the numbers of Redis are shown with the fault and its cure: visitors see them only until they are too old."""
    await worker.schedule.pause(SiteId(SITE), None, 60.0, wix_faults.written("Wix answered 503", "wait for it"))

    found = await read(wix, redis_url)

    assert set(wix.tickets.values()) == ids(found)
    [note] = found.notes
    assert "Wix answered 503; wait for it" in note


async def test_wix_is_read_where_no_redis_runs(wix: WixRig) -> None:
    """Where no server runs, Wix itself is read, and that is noted."""
    found = await read(wix, None)

    assert set(wix.tickets.values()) == ids(found)
    assert frozenset({ReadFrom.WIX}) == found.read_from
    assert ("read from Wix, since no `serve` runs with DATA_DIR=data and REDIS_URL is not set",) == found.notes


async def test_wix_is_read_where_redis_is_unavailable(wix: WixRig) -> None:
    """Where Redis cannot be reached, Wix itself is read, and the fault of Redis is noted."""
    found = await read(wix, f"redis://127.0.0.1:{free_port()}/0")

    assert set(wix.tickets.values()) == ids(found)
    assert found.notes[0].startswith("read from Wix, since Redis is unavailable (")


async def test_wix_is_read_where_no_worker_has_run(redis: RedisClient, redis_url: str, wix: WixRig) -> None:
    """A site of WIX_SITES that Redis does not know yet is read from Wix."""
    found = await read(wix, redis_url)

    assert set(wix.tickets.values()) == ids(found)
    assert ("read from Wix: its tickets are not all in Redis",) == found.notes


async def test_wix_is_read_where_the_worker_has_ended(
    worker: WorkerRig, redis: RedisClient, redis_url: str, wix: WixRig
) -> None:
    """Law 5: once a worker is late, Wix is read in its place, paid from the site's budget."""
    worker.claimer.stop()
    await elapse(redis, SiteId(SITE), 600)
    paid = await redis.do("HGET", worker.schedule.keys.key(SITE, "reads"), "last_call")
    wix.world.buy(wix.tickets["fixed"])

    found = await read(wix, redis_url)

    assert found.notes[0].startswith("read from Wix: what is due was not read for ")
    left = {str(one.ticket): one.unsold for event in found.events for one in event.tickets}
    assert wix.world.tickets[wix.tickets["fixed"]].left == left[wix.tickets["fixed"]]
    assert paid != await redis.do("HGET", worker.schedule.keys.key(SITE, "reads"), "last_call")


async def test_old_numbers_where_wix_fails_too(
    worker: WorkerRig, redis: RedisClient, redis_url: str, wix: WixRig
) -> None:
    """Where Wix cannot be read either, what Redis has is listed with its age and the fault."""
    worker.claimer.stop()
    await elapse(redis, SiteId(SITE), 600, [TicketId(one) for one in wix.tickets.values()])
    wix.knobs.turn(outage="500")

    found = await read(wix, redis_url)

    assert set(wix.tickets.values()) == ids(found)
    assert frozenset({ReadFrom.REDIS}) == found.read_from
    assert found.notes[0].startswith(
        "these are the numbers of 10 min ago, since Wix cannot be read: Wix answered 500 to "
    )


async def test_fault_of_wix_where_nothing_is_stored(redis_url: str, wix: WixRig) -> None:
    """Where nothing is stored, the fault of Wix is the error."""
    wix.knobs.turn(outage="500")

    with pytest.raises(WixUnavailable, match="Wix answered 500"):
        await read(wix, redis_url)


async def test_sites_that_redis_knows(redis: RedisClient, redis_url: str, wix: WixRig) -> None:
    """Sites that installed the app are listed beside those of WIX_SITES."""
    settings = valid_settings(**{**wix.settings(), "wix_sites": ""})
    await Schedule(redis).add_site(SiteId(SITE), settings.rules, everything=True)

    found = await catalog.read(settings, redis_url)

    assert (SITE,) == found.sites
    assert set(wix.tickets.values()) == ids(found)


@pytest.mark.parametrize("given", [{}, {"wix_app_secret": "", "wix_app_id": ""}])
async def test_no_site(wix: WixRig, redis_url: str, given: dict[str, str]) -> None:
    """Without a site it is said how one becomes known; without credentials, those come first."""
    wanted = "^WIX_APP_ID and WIX_APP_SECRET are not set" if given else "^no site is known: set WIX_SITES"

    with pytest.raises(NotStarted, match=wanted):
        await read(wix, redis_url, wix_sites="", **given)


async def test_wrong_site_does_not_hide_others(wix: WixRig) -> None:
    """Where one of several sites cannot be read, the others are listed, and its fault is noted with the cure."""
    found = await read(wix, None, wix_sites=f"{FOREIGN},{SITE}")

    assert set(wix.tickets.values()) == ids(found)
    assert found.notes[-1].startswith(f"site {FOREIGN} could not be read: Wix gave no token for site {FOREIGN}")
    assert "; the app is not installed on this site" in found.notes[-1]


async def test_only_wrong_sites(wix: WixRig) -> None:
    """Where no site can be read, that is the error."""
    with pytest.raises(WixUnavailable, match=r"^Wix gave no token for site "):
        await read(wix, None, wix_sites=f"{FOREIGN},{FOREIGN.replace('b002', 'b003')}")
