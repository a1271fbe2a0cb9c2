import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from structlog.testing import capture_logs

from server.counter import Rules
from server.errors import RedisUnavailable
from server.hub.other_rules import OtherRules
from server.hub.topics import Topic
from server.model import SiteId, TicketId, WatchedTicket
from server.redis.client import RedisClient, Use
from server.store.schedule import Schedule
from tests.rig.default_keys import channel, key
from tests.rig.server import OTHER, SITE, TICKET
from tests.rig.wix import ManualClock

SITE_ID = SiteId(SITE)
OURS, THEIRS = Rules().hash, Rules(low_at=99).hash


class Rig:
    """A process with rules of its own, on a clock that is moved by hand."""

    def __init__(self, store: RedisClient) -> None:
        self.store = store
        self.schedule = Schedule(store)
        self.clock = ManualClock(0.0)
        self.other_rules = OtherRules(self.schedule, OURS, self.clock)
        self.topic, self.other = (Topic(SITE_ID, TicketId(one), channel(SITE, one), 0.0) for one in (TICKET, OTHER))

    async def marked(self, *topics: Topic) -> set[str]:
        """Report these topics as found in a round; returns the tickets that this marked."""
        await self.store.do("DEL", key(SITE, "hinted"))
        await self.other_rules.found(SITE_ID, topics)
        return set(await self.store.do("ZRANGE", key(SITE, "hinted"), 0, -1))


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[Rig]:
    async with aclosing(RedisClient(redis_url, Use.WORK)) as store:
        found = Rig(store)
        await found.schedule.add_site(SITE_ID, Rules(), everything=True)
        yield found


@pytest.mark.parametrize(
    ("v", "rules", "expected"), [(None, "", True), (7, OURS, True), (7, THEIRS, False), (7, "", False)]
)
async def test_counter_made_by_the_same_rules(rig: Rig, v: int | None, rules: str, expected: bool) -> None:
    """A counter has the same rules if this process's rules made it, or if its ticket was never read."""
    assert expected == rig.other_rules.are_ours(WatchedTicket(TicketId(TICKET), v, 0.0, rules, None))


async def test_ticket_is_marked_once_a_minute(rig: Rig) -> None:
    """A ticket is marked once a minute, however many rounds find it; one that had the same rules meanwhile is marked at once."""
    assert set() == await rig.marked()
    assert {TICKET} == await rig.marked(rig.topic)
    rig.clock.advance(30)
    assert {OTHER} == await rig.marked(rig.topic, rig.other)
    rig.clock.advance(30)
    assert {TICKET} == await rig.marked(rig.topic, rig.other)

    rig.other_rules.discard(rig.topic)
    rig.other_rules.discard(rig.topic)

    assert {TICKET} == await rig.marked(rig.topic, rig.other)


async def test_other_rules_are_logged_once_a_minute(rig: Rig) -> None:
    """The log says once a minute that another process has other rules, and what to do."""
    with capture_logs() as logs:
        for _ in range(4):
            await rig.marked(rig.topic, rig.other)
            rig.clock.advance(20)

    warnings = [one for one in logs if one["event"] == "rules_differ"]
    assert [("warning", SITE, 2)] * 2 == [(one["log_level"], one["site"], one["topics"]) for one in warnings]
    assert "restart all with the same LOW_AT and SHOW_AT_MOST" in warnings[0]["hint"]


async def test_each_site_with_other_rules_is_logged(rig: Rig) -> None:
    """A warning about one site does not suppress the warning about another."""
    with capture_logs() as logs:
        for site in (SITE_ID, SiteId("another"), SITE_ID):
            await rig.other_rules.found(site, [Topic(site, TicketId(TICKET), channel(site, TICKET), 0.0)])

    assert [SITE, "another"] == [one["site"] for one in logs if one["event"] == "rules_differ"]


async def test_failed_mark_is_made_in_the_next_round(rig: Rig) -> None:
    """A mark that Redis did not take is made in the next round."""
    unavailable = OtherRules(Schedule(RedisClient("redis://127.0.0.1:9/0", Use.INGEST)), OURS, rig.clock)
    with pytest.raises(RedisUnavailable):
        await unavailable.found(SITE_ID, [rig.topic])
    unavailable.schedule = rig.schedule

    await unavailable.found(SITE_ID, [rig.topic])

    assert [TICKET] == await rig.store.do("ZRANGE", key(SITE, "hinted"), 0, -1)


async def test_topic_closed_while_it_is_marked_is_forgotten(rig: Rig) -> None:
    """A topic that is closed while its mark is being written leaves nothing in memory."""
    marking = asyncio.create_task(rig.other_rules.found(SITE_ID, [rig.topic]))
    await asyncio.sleep(0)
    rig.other_rules.discard(rig.topic)
    await marking

    assert {TICKET} == await rig.marked(rig.topic)


async def test_other_rules_are_tolerated_for_the_time_of_a_restart(rig: Rig) -> None:
    """Other rules of a site are tolerated for a minute after they were found: a restart of all may take that long."""
    answers = []
    for rules in ([], [OURS, OURS], [OURS, THEIRS], [THEIRS], [THEIRS], [OURS], [THEIRS]):
        rig.other_rules.compare(rules)
        rig.clock.advance(30)
        answers.append(rig.other_rules.same_rules)

    assert [True, True, True, False, False, True, True] == answers
