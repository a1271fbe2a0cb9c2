import asyncio
from collections.abc import Sequence

from server.counter import Rules
from server.errors import RedisUnavailable
from server.hub.by_site import RETRY, BySite
from server.hub.topics import TicketTopic, Topic
from server.model import SiteId, TicketId
from tests.rig.default_keys import channel
from tests.rig.server import OTHER, TICKET

ONE, TWO = SiteId("one"), SiteId("two")


def topic(site: SiteId, ticket: str) -> TicketTopic:
    return TicketTopic(site, TicketId(ticket), channel(site, ticket), Rules(), 0.0)


TOPICS = [topic(ONE, TICKET), topic(TWO, TICKET), topic(ONE, OTHER)]


async def test_each_site_is_asked_once() -> None:
    """Each site is asked once, for all of its topics."""
    asked: dict[SiteId, Sequence[Topic]] = {}

    async def ask(site: SiteId, topics: list[Topic]) -> None:
        asked[site] = topics

    await BySite(lambda: 0.0).each(TOPICS, ask)

    assert {ONE: [TOPICS[0], TOPICS[2]], TWO: [TOPICS[1]]} == asked


async def test_site_that_hangs_delays_no_other() -> None:
    """A site for which Redis does not answer delays no other."""
    hanging, answered = asyncio.Event(), asyncio.Event()

    async def ask(site: SiteId, topics: list[Topic]) -> None:
        if site == ONE:
            await hanging.wait()
        else:
            answered.set()

    asking = asyncio.create_task(BySite(lambda: 0.0).each(TOPICS, ask))
    async with asyncio.timeout(5):
        await answered.wait()
    assert not asking.done()
    hanging.set()
    await asking


async def test_site_that_failed_is_asked_again_later() -> None:
    """A site for which Redis did not answer is asked again after RETRY; once it has answered, at any time."""
    now, fails = 10.0, True
    by_site = BySite(lambda: now)

    async def ask(site: SiteId, topics: list[Topic]) -> None:
        if site == ONE and fails:
            raise RedisUnavailable

    await by_site.each(TOPICS, ask)
    assert [(True, False), (False, True)] == [(by_site.failed(one), by_site.may_ask(one)) for one in (ONE, TWO)]

    now += RETRY
    assert by_site.may_ask(ONE)

    fails = False
    await by_site.each(TOPICS, ask)
    assert not by_site.failed(ONE)


async def test_site_that_is_not_watched_is_forgotten() -> None:
    """A site that nobody watches any more is forgotten, though Redis never answered for it."""
    by_site = BySite(lambda: 0.0)

    async def ask(site: SiteId, topics: list[Topic]) -> None:
        raise RedisUnavailable

    await by_site.each(TOPICS, ask)
    by_site.keep_only({TWO})

    assert [False, True] == [by_site.failed(one) for one in (ONE, TWO)]
