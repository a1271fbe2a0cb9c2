from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from server.counter import Rules
from server.hub.other_rules import OtherRules
from server.hub.topics import TicketTopic
from server.model import SiteId, TicketId, WatchedTicket
from server.redis.client import RedisClient
from tests.rig.default_keys import channel
from tests.rig.reread_rig import RereadRig
from tests.rig.server import OTHER, SITE, TICKET

SITE_ID = SiteId(SITE)
OURS, THEIRS = Rules().hash, Rules(low_at=99).hash


class Rig(RereadRig):
    """A process with rules of its own."""

    def __init__(self, store: RedisClient) -> None:
        super().__init__(store)
        self.other_rules = OtherRules(self.rereads, OURS, self.clock)

    async def marked(self, *topics: TicketTopic) -> set[str]:
        """Report these topics as found in a round; returns the tickets that this marked."""
        return await self.marked_by(self.other_rules.found, topics)


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[Rig]:
    async with Rig.on(redis_url) as found:
        yield found


@pytest.mark.parametrize(
    ("v", "rules", "expected"), [(None, "", True), (7, OURS, True), (7, THEIRS, False), (7, "", False)]
)
async def test_counter_made_by_the_same_rules(rig: Rig, v: int | None, rules: str, expected: bool) -> None:
    """A counter has the same rules if this process's rules made it, or if its ticket was never read."""
    assert expected == rig.other_rules.are_ours(WatchedTicket(TicketId(TICKET), v, 0.0, rules, None))


async def test_tickets_with_other_rules_are_read_again(rig: Rig) -> None:
    """Tickets whose counters have other rules are read again, by a worker that has ours."""
    assert set() == await rig.marked()
    assert {TICKET, OTHER} == await rig.marked(rig.topic, rig.other)


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
            await rig.other_rules.found(
                site, [TicketTopic(site, TicketId(TICKET), channel(site, TICKET), Rules(), 0.0)]
            )

    assert [SITE, "another"] == [one["site"] for one in logs if one["event"] == "rules_differ"]


async def test_other_rules_are_tolerated_for_the_time_of_a_restart(rig: Rig) -> None:
    """Other rules of a site are tolerated for a minute after they were found: a restart of all may take that long."""
    answers = []
    for rules in ([], [OURS, OURS], [OURS, THEIRS], [THEIRS], [THEIRS], [OURS], [THEIRS]):
        rig.other_rules.compare(rules)
        rig.clock.advance(30)
        answers.append(rig.other_rules.same_rules)

    assert [True, True, True, False, False, True, True] == answers
