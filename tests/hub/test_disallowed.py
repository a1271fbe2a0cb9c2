from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from server.counter import Rules
from server.hub.disallowed import Disallowed
from server.hub.topics import TicketTopic
from server.model import SiteId, TicketId
from tests.rig.default_keys import channel
from tests.rig.server import OTHER, SITE, TICKET
from tests.rig.wix import ManualClock


def topic(ticket: str = TICKET, site: str = SITE) -> TicketTopic:
    """A topic of a ticket."""
    return TicketTopic(SiteId(site), TicketId(ticket), channel(site, ticket), Rules(), 0.0)


def counted(how: str) -> float:
    """How many were counted until now."""
    return REGISTRY.get_sample_value("ticketcounter_disallowed_total", {"how": how}) or 0.0


def test_every_one_is_counted() -> None:
    """Each counter that is not shown is counted, by how it came."""
    disallowed, one = Disallowed(ManualClock(0.0)), topic()
    before = counted("published"), counted("stored")

    for _ in range(3):
        disallowed.published(one)
    disallowed.stored(one)

    assert (before[0] + 3, before[1] + 1) == (counted("published"), counted("stored"))


def test_published_one_has_the_stored_one_read_once_a_second() -> None:
    """What is published, however much it is, has each topic read once a second."""
    clock = ManualClock(0.0)
    disallowed, one, other = Disallowed(clock), topic(), topic(OTHER)
    answers = []
    for each in (one, one, other):
        answers.append(disallowed.published(each))
        clock.advance(0.4)
    clock.advance(0.4)

    assert [True, False, True, True] == [*answers, disallowed.published(one)]
    for each in (one, other, other):
        disallowed.discard(each)
    assert {} == disallowed._read_at


def test_warning_says_what_to_do() -> None:
    """A site is named in the log once a minute, with one of its tickets and what to do."""
    clock = ManualClock(0.0)
    disallowed = Disallowed(clock)
    with capture_logs() as logs:
        for each in (topic(), topic(OTHER), topic(site="another")):
            disallowed.published(each)
        clock.advance(60)
        disallowed.stored(topic(OTHER))

    expected = [(SITE, TICKET, "published"), ("another", TICKET, "published"), (SITE, OTHER, "stored")]
    assert expected == [(one["site"], one["ticket"], one["how"]) for one in logs]
    assert {("warning", "counter_disallowed")} == {(one["log_level"], one["event"]) for one in logs}
    assert all(word in logs[0]["hint"] for word in ("LOW_AT", "SHOW_AT_MOST", "version", "REDIS_PREFIX", "password"))
