import asyncio
from collections.abc import Sequence

from structlog.testing import capture_logs

from server.errors import AudienceRefused, AudienceUnavailable
from server.model import SiteId
from server.notify.audience_check import CHECK_EVERY, RETRY_AFTER, AudienceCheck
from server.redis.client import RedisClient
from server.store.definitions import Definitions
from server.timed_event import TimedEvent
from tests.rig.campaigns import EVENT, SITE
from tests.rig.default_keys import key
from tests.rig.notify_models import ModelAudience
from tests.rig.server import until
from tests.rig.wix import ManualClock

NO_LIST = AudienceRefused("lists knows no list early-bird. Lists there: early-birds")
OTHER = SiteId("11111111-bbbb-4bbb-8bbb-000000000001")


class Counted(ModelAudience):
    """A tool that notes how often it was asked for a count; `fault` is raised then."""

    counts = 0
    fault: Exception | None = None

    async def count(self) -> int:
        self.counts += 1
        if self.fault:
            raise self.fault
        return await super().count()


def checks(
    store: RedisClient, audience: ModelAudience, clock: ManualClock, sites: Sequence[SiteId] = (SITE,)
) -> AudienceCheck:
    return AudienceCheck(Definitions(store), lambda _: {"gala": audience}, lambda: sites, clock=clock)


async def test_wrong_list_is_told_at_the_start_and_each_hour(store: RedisClient) -> None:
    """A tool that refuses us is told at the start and once an hour, with the event, and so is that it does no more."""
    audience, clock, stopping = Counted(), ManualClock(), TimedEvent()
    audience.fault = NO_LIST
    check = checks(store, audience, clock)
    with capture_logs() as lines:
        for _ in range(3):
            await check.check(SITE, stopping)
        assert 1 == audience.counts
        clock.advance(CHECK_EVERY)
        await check.check(SITE, stopping)
        clock.advance(CHECK_EVERY)
        audience.fault = None
        await check.check(SITE, stopping)

    told = {
        "event": "audience_refused",
        "log_level": "warning",
        "site": SITE,
        "event_name": "gala",
        "error": str(NO_LIST),
    }
    assert [told, told] == [one for one in lines if one["log_level"] == "warning"]
    assert "audience_refused_no_more" == lines[-1]["event"]
    assert 3 == audience.counts


async def test_tool_that_does_not_answer_is_asked_again(store: RedisClient) -> None:
    """A tool that does not answer, and a bug, are no wrong list: it is asked again a minute later."""
    audience, clock = Counted(), ManualClock()
    check = checks(store, audience, clock)
    with capture_logs() as lines:
        for fault in (AudienceUnavailable("lists does not answer"), RuntimeError("a bug"), None):
            audience.fault = fault
            await check.check(SITE, TimedEvent())
            await check.check(SITE, TimedEvent())
            clock.advance(RETRY_AFTER)

    assert 3 == audience.counts
    assert ["notify_bug"] == [one["event"] for one in lines if one["log_level"] != "debug"]


async def test_list_is_of_the_site_that_has_the_event(store: RedisClient) -> None:
    """Where there are several sites, an event's audience is asked for at the site that has the event."""
    audience, clock = Counted(), ManualClock()
    check = checks(store, audience, clock, [SITE, OTHER])
    for site in (SITE, OTHER):
        await check.check(site, TimedEvent())
    assert 0 == audience.counts

    await store.do("HSET", key(OTHER, "slugs"), "gala", EVENT)
    await store.do("HSET", key(OTHER, "event_snapshot", EVENT), "read_at", 1)
    clock.advance(RETRY_AFTER)
    for site in (SITE, OTHER):
        await check.check(site, TimedEvent())
    assert 1 == audience.counts


async def test_check_ends_with_the_process(store: RedisClient) -> None:
    """A tool that never answers holds up no end of the process; sites that are known later are checked, too."""
    asked, stopping = asyncio.Event(), TimedEvent()
    sites: list[SiteId] = []

    class Silent(ModelAudience):
        async def count(self) -> int:
            asked.set()
            return await asyncio.Future()

    running = asyncio.create_task(checks(store, Silent(), ManualClock(), sites).run(stopping))
    await asyncio.sleep(0)
    sites.append(SITE)
    await until(asked.is_set)

    stopping.set()

    await asyncio.wait_for(running, 2)
