from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from server.counter import Rules
from server.doctor import wix as wix_check
from server.doctor.deployment import Deployment
from server.doctor.finding import Finding, Level
from server.errors import WixUnavailable
from server.model import SiteId
from server.redis.client import RedisClient, Use
from server.refresh.faults import Faults
from server.store.schedule import Schedule
from tests.rig.doctor import faults, found_by, levels
from tests.rig.server import SITE
from tests.rig.settings import valid_settings
from tests.rig.wix import WixRig


@asynccontextmanager
async def deployed(wix: WixRig, redis_url: str, *, budget: float = 1, **given: Any) -> AsyncIterator[Deployment]:
    """A deployment whose site Redis knows, with no worker."""
    settings = valid_settings(**{**wix.settings(), "redis_url": redis_url, **given})
    async with aclosing(Deployment(settings, wait_for_budget=budget)) as deployment:
        deployment.redis = RedisClient(redis_url, Use.WORK)
        await Schedule(deployment.redis).add_site(wix.site, Rules(), everything=True)  # type: ignore[arg-type] # a GUID
        yield deployment


async def found_at(wix: WixRig, redis_url: str, **given: Any) -> list[Finding]:
    async with deployed(wix, redis_url, **given) as deployment:
        return await found_by(wix_check.check, deployment)


async def test_wix_that_is_right(wix: WixRig, redis_url: str) -> None:
    """Where Wix answers, the token, the tickets, the events and the clock are right, with calls that are paid for."""
    async with deployed(wix, redis_url) as deployment:
        found = await found_by(wix_check.check, deployment)

        assert ["ok", "ok", "ok"] == levels(found)
        assert ["token", "query", "query_events"] == [one.kind for one in wix.calls()]
        tokens = await deployment.redis.do("HGET", f"tc:{{{wix.site}}}:reads", "tokens")  # type: ignore[union-attr]
        assert 18 <= float(tokens) < 19


@pytest.mark.parametrize(
    ("turned", "told", "cure"),
    [
        ({"outage": "401", "outage_of": "token"}, "it answered 401", "WIX_APP_SECRET"),
        ({"outage": "403", "outage_of": "api"}, "403", "Manage Ticket Definitions"),
        ({"outage": "drop", "outage_of": "all"}, "no answer", "firewalls and proxies"),
    ],
)
async def test_faults_of_wix(wix: WixRig, redis_url: str, turned: dict[str, Any], told: str, cure: str) -> None:
    """A secret, a permission or a connection that is wrong is a fault, in the words of the calls themselves."""
    wix.knobs.turn(**turned)

    (found,) = [one for one in await found_at(wix, redis_url) if one.level is Level.FAULT]

    assert told in found.what
    assert cure in found.cure
    assert SITE in found.what


async def test_permission_for_events(wix: WixRig, redis_url: str) -> None:
    """Without the permission Read Events everything but that is right."""
    wix.knobs.turn(read_events=False)

    found = await found_at(wix, redis_url)

    assert ["ok", "fault", "ok"] == levels(found)
    assert "registration" in found[1].why


async def test_query_of_events_that_is_refused(wix: WixRig, redis_url: str) -> None:
    """A query of events that Wix refuses is no fault, since events are read one by one then."""
    wix.knobs.turn(event_id_in=False)

    assert [] == faults(await found_at(wix, redis_url))


async def test_site_without_tickets(wix: WixRig, redis_url: str) -> None:
    """A site without tickets is told, as it may be the wrong one."""
    wix.knobs.turn(query_results="none")

    found = await found_at(wix, redis_url)

    assert ["notice", "ok"] == levels(found)
    assert "has no tickets" in found[0].what


async def test_no_site(wix: WixRig, redis_url: str) -> None:
    """Without any site there is nothing to ask for, which is a fault with both cures."""
    async with aclosing(Deployment(valid_settings(**{**wix.settings(), "wix_sites": ""}))) as deployment:
        (found,) = await found_by(wix_check.check, deployment)

    assert Level.FAULT is found.level
    assert "install the app" in found.cure
    assert "WIX_SITES" in found.cure


async def test_no_credentials() -> None:
    """Without credentials Wix is not asked; that they are missing is told with the settings."""
    assert [] == await found_by(wix_check.check, Deployment(valid_settings(wix_app_id="")))


async def test_five_calls_without_redis(wix: WixRig) -> None:
    """Without Redis, or with one that does not know the site, five calls are made at most, whatever the number of sites."""
    others = ",".join(f"5f0e4d3c-1111-4111-8111-00000000b00{number}" for number in range(2, 6))
    settings = valid_settings(**{**wix.settings(), "wix_sites": f"{wix.site},{others}"})
    async with aclosing(Deployment(settings)) as deployment:
        found = await found_by(wix_check.check, deployment)

    assert 5 >= len(wix.calls())
    assert "5 calls were made" in found[-2].what


def test_clock_that_is_wrong() -> None:
    """A clock that differs from Wix's by more than half a minute is a fault that says how far, and in which direction."""
    header = "Tue, 01 Dec 2026 18:00:00 GMT"
    at = 1_796_148_000.0

    assert Level.OK is getattr(wix_check.of_clock(at + 10, header), "level", None)
    behind, ahead = wix_check.of_clock(at - 300, header), wix_check.of_clock(at + 300, header)
    assert "300 s behind" in getattr(behind, "what", "")
    assert "300 s ahead of" in getattr(ahead, "what", "")
    assert None is wix_check.of_clock(at, "no date")


async def test_most_sites(wix: WixRig) -> None:
    """Of many sites only some are asked for, and it is told how many are not."""
    sites = ",".join(f"5f0e4d3c-1111-4111-8111-0000000000{number:02}" for number in range(25))
    async with aclosing(Deployment(valid_settings(**{**wix.settings(), "wix_sites": sites}))) as deployment:
        found = await found_by(wix_check.check, deployment)

    assert "sites that were not asked for: 5" in [one.what for one in found]


async def test_site_that_is_paused(wix: WixRig, redis_url: str) -> None:
    """While calls of a site wait since Wix failed, the fault that its worker met is told, with its cure; no call is made."""
    async with deployed(wix, redis_url, budget=0.1) as deployment:
        schedule = deployment.schedule
        assert schedule is not None
        error = WixUnavailable("Wix refuses connections", hint="see whether it is up", retry_after=60.0)
        await Faults(schedule).pause(SiteId(wix.site), None, error)
        (found,) = [one for one in await found_by(wix_check.check, deployment) if one.level is Level.FAULT]

    assert "Wix refuses connections" in found.what
    assert "see whether it is up" == found.cure
    assert [] == wix.calls()
