from typing import Any

import pytest
from structlog.testing import capture_logs

from server.counter import Rules
from server.hub.topics import TicketTopic, TopicState
from server.hub.withdrawals import Withdrawals
from server.model import SiteId, TicketId
from tests.rig.server import OTHER, SITE, TICKET
from tests.rig.wix import ManualClock


class Topics:
    """Two topics with a number, and what is logged of their withdrawals."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.withdrawals = Withdrawals(clock=self.clock)
        self.both = [TicketTopic(SiteId(SITE), TicketId(one), one, Rules(), 0.0) for one in (TICKET, OTHER)]
        for topic in self.both:
            topic.shown = topic.counter = "a number"

    def withdraw(self, *topics: TicketTopic) -> list[dict[str, Any]]:
        for topic in topics:
            topic.shown = "unknown"
            self.withdrawals.add(topic)
        return self.tell()

    def tell(self) -> list[dict[str, Any]]:
        with capture_logs() as lines:
            self.withdrawals.tell()
        return [dict(one) for one in lines]


@pytest.fixture
def topics() -> Topics:
    return Topics()


def test_withdrawals_are_one_line_and_their_end_is_one(topics: Topics) -> None:
    """Numbers that are withdrawn at the same time are one line, with the cure; when all are verified again, that is one line."""
    one, other = topics.both

    [line] = topics.withdraw(one, other)
    assert ("counters_withdrawn", 2, SITE, TICKET) == (line["event"], line["withdrawn"], line["site"], line["ticket"])
    assert "see in the log of the worker" in line["hint"]
    assert [] == topics.tell()

    topics.clock.advance(30)
    one.shown = one.counter
    assert [] == topics.tell()
    other.shown = other.counter
    assert [("counters_verified", 30.0)] == [(line["event"], line["seconds"]) for line in topics.tell()]
    assert [] == topics.tell()


def test_withdrawals_one_after_another_are_few_lines(topics: Topics) -> None:
    """Numbers that are withdrawn again and again for ten minutes make at most 10 lines, the last of which says that all are verified."""
    one, _ = topics.both
    told = []
    for _ in range(60):
        told += topics.withdraw(one)
        topics.clock.advance(5)
        one.shown = one.counter
        told += topics.tell()
        topics.clock.advance(5)

    assert len(told) <= 10
    assert "counters_verified" == told[-1]["event"]


def test_withdrawn_number_that_nobody_watches(topics: Topics) -> None:
    """A withdrawn number whose last viewer left is not called verified, and the next withdrawal is told."""
    one, other = topics.both
    topics.withdraw(one)
    one.state = TopicState.CLOSED
    assert [] == topics.tell()
    topics.clock.advance(120)

    assert ["counters_withdrawn"] == [line["event"] for line in topics.withdraw(other)]
