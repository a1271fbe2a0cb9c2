from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from structlog.testing import capture_logs

from server import metrics
from server.counter import Rules
from server.model import Hint, SiteId
from server.redis.client import RedisClient, Use
from server.refresh.silence import SilentSites
from server.store.schedule import Schedule
from server.store.snapshots import Kept
from server.store.timing import Timing
from tests.rig.default_keys import key
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.server import SITE, TICKET
from tests.rig.time_travel import elapse
from tests.rig.wix import ManualClock

SITE_ID = SiteId(SITE)


class SellingSite:
    """A site that sells, a worker that reads it and logs its silence, and the lines that it has logged."""

    def __init__(self, url: str) -> None:
        self.reads = FakeReader(url, SITE)
        self.schedule = Schedule(RedisClient(url, Use.WORK), Timing(silent_after=60.0))
        self.clock = ManualClock()
        self.silence = SilentSites(self.schedule, clock=self.clock)
        self.left = 100

    async def aclose(self) -> None:
        await self.reads.aclose()
        await self.schedule.redis.aclose()

    async def sells(self, tickets: int = 1) -> list[dict[str, Any]]:
        """Let some be sold, or come back, and read the site; returns the lines logged for it. Half a minute passes."""
        self.left -= tickets
        with capture_logs() as lines:
            await self.silence.observe(SITE_ID, [await self.reads.read(definition(TICKET, self.left))])
        await self.passes(30)
        return [dict(one) for one in lines]

    async def passes(self, seconds: float) -> None:
        await elapse(self.schedule.redis, SITE_ID, seconds, [definition(TICKET).id])
        self.clock.advance(seconds)

    async def hears(self) -> None:
        await self.schedule.mark(SITE_ID, Hint("order"), "order")

    async def falls_silent(self) -> None:
        """Sell until the silence is logged."""
        while "webhooks_silent" not in [one["event"] for one in await self.sells()]:
            assert self.left > 90


@pytest.fixture
async def site(redis_url: str) -> AsyncIterator[SellingSite]:
    async with aclosing(SellingSite(redis_url)) as found:
        await found.schedule.add_site(SITE_ID, Rules(), everything=True)
        yield found


async def test_silence_is_logged_with_its_evidence(site: SellingSite) -> None:
    """Stock that fell three times, over a while, without a webhook is logged with what was seen and what to check."""
    before = metrics.unreported_falls._value.get()

    said = [await site.sells() for _ in range(4)]

    assert [[], [], []] == said[:3]
    [warning] = said[3]
    hint = warning.pop("hint")
    expected = {"falls": 3, "minutes": 1, "last_webhook": "never", "site": SITE}
    assert {"log_level": "warning", "event": "webhooks_silent", **expected} == warning
    for word in ("address", "subscriptions", "public key", "Webhooks page", "carts"):
        assert word in hint
    assert 3 == metrics.unreported_falls._value.get() - before


async def test_warning_has_the_time_of_the_last_webhook(site: SellingSite) -> None:
    """The warning has the time of the last webhook, by Redis's clock and in UTC."""
    ten_o_clock = 1_770_804_000 * 10**6
    await site.schedule.redis.do("HSET", key(SITE, "heard"), "at", ten_o_clock + 90 * 10**6 + 999_999)

    # Before the warning 90 s pass: the test moves stored times into the past.
    [*_, said] = [await site.sells() for _ in range(4)]

    assert ["2026-02-11T10:00:00Z"] == [one["last_webhook"] for one in said]


async def test_silence_is_logged_every_ten_minutes(site: SellingSite) -> None:
    """While it lasts a silence is logged again every ten minutes, however often stock falls."""
    await site.falls_silent()

    said = [await site.sells() for _ in range(40)]

    assert [19, 39] == [at for at, lines in enumerate(said) if lines]
    assert [23, 43] == [lines[0]["falls"] for lines in said if lines]


async def test_end_of_silence_is_logged_once(site: SellingSite) -> None:
    """The first webhook ends the silence: that is logged once, by the next read, whether that finds a change or none."""
    await site.falls_silent()
    assert [] == await site.sells(0)

    await site.hears()

    assert [("info", "webhooks_silent_no_more", SITE)] == [
        (one["log_level"], one["event"], one["site"]) for one in await site.sells(0)
    ]
    assert [[], []] == [await site.sells() for _ in range(2)]


async def test_returned_carts_are_no_silence(site: SellingSite) -> None:
    """When the app subscribes only to orders, carts that were left and came back are no silence."""
    for _ in range(5):
        assert [[], []] == [await site.sells(2), await site.sells(-2)]


async def test_carts_that_come_back_late_end_a_silence(site: SellingSite) -> None:
    """A silence that was only carts, which all came back, is over."""
    await site.falls_silent()

    assert ["webhooks_silent_no_more"] == [one["event"] for one in await site.sells(-3)]


async def test_no_silence_where_no_webhook_is_expected(site: SellingSite) -> None:
    """Without an app no webhook is expected, and no silence is logged."""
    site.silence = SilentSites(site.schedule, expected=False)

    assert [[]] * 6 == [await site.sells() for _ in range(6)]


async def test_removed_site_is_not_silent(site: SellingSite) -> None:
    """A site that was removed is not silent."""
    await site.falls_silent()
    await site.schedule.remove_site(SITE_ID)

    with capture_logs() as lines:
        await site.silence.observe(SITE_ID, [Kept.REFUSED])
        await site.silence.observe(SITE_ID, [Kept.REFUSED])

    assert ["webhooks_silent_no_more"] == [one["event"] for one in lines]
