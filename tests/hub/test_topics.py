import json
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server import wire
from server.counter import Rules
from server.hub.topics import Audience, TicketTopic
from server.model import SiteId, TicketId
from tests.rig.counter_text import counter_text
from tests.rig.default_keys import channel
from tests.rig.hub_rig import FakeViewer
from tests.rig.server import OTHER, SITE, TICKET

CHANNEL = channel(SITE, TICKET)
GONE = counter_text(1, hidden=True)


def topic(rules: Rules | None = None) -> TicketTopic:
    """An open topic."""
    found = TicketTopic(SiteId(SITE), TicketId(TICKET), CHANNEL, rules or Rules(), 0.0)
    found.read()
    return found


@given(st.permutations(range(6)))
def test_any_order_ends_on_the_newest(order: list[int]) -> None:
    """Law 2: In whatever order messages arrive, the newest counter is shown last, and no older one after it."""
    one = topic()
    best = -1
    for v in order:
        one.take(counter_text(v + 1, v), 60.0)
        one.decide(0.0)
        best = max(best, v)
        assert best == json.loads(str(one.shown))["unsold"]


def test_opening_topic_shows_nothing() -> None:
    """A topic that opens shows nothing until a time-out, so that no viewer gets `unknown` for an instant."""
    one = TicketTopic(SiteId(SITE), TicketId(TICKET), CHANNEL, Rules(), 10.0)

    assert not one.decide(9.9)
    assert one.shown is None
    assert one.decide(10.0)
    assert wire.unknown(TicketId(TICKET)) == one.shown


def test_stale_counter_is_unknown() -> None:
    """Law 8: A counter is shown until the time to which it was verified, and again when it is verified again."""
    one = topic()
    one.take(counter_text(1), 5.0)

    assert one.decide(4.9)
    assert one.verified
    assert not one.decide(4.9)
    assert one.decide(5.0)
    assert wire.unknown(TicketId(TICKET)) == one.shown
    one.fresh_until = 9.0
    assert one.decide(6.0)
    assert counter_text(1) == one.shown


def test_gone_never_becomes_stale() -> None:
    """Law 8: The state gone does not become false with time."""
    one = topic()
    one.take(GONE, 5.0)

    one.decide(1e9)

    assert GONE == one.shown


def test_counter_of_other_rules_is_unknown() -> None:
    """A counter that was made by other rules than this process has is not shown."""
    one = topic()
    one.take(counter_text(1), 5.0)
    one.same_rules = False

    one.decide(1.0)

    assert wire.unknown(TicketId(TICKET)) == one.shown
    assert not one.verified


@pytest.mark.parametrize(
    "text",
    [
        counter_text(9, 2, OTHER),
        counter_text(9, 50, rules=Rules(10, 50)),
        counter_text(9, 15, rules=Rules(20)),
        counter_text(9, 2, rules=Rules(1)),
        counter_text(9, 2).replace('"low"', '"available"'),
        counter_text(9, 2).replace('"unsold":2', '"unsold":2,"left":50'),
        counter_text(9, 2).replace(",", ", "),
        counter_text(9, 2)[:-1],
        "",
        "50",
    ],
)
def test_what_our_rules_do_not_make_is_not_taken(text: str) -> None:
    """Law 13: A topic takes no counter of another ticket, none that its rules do not make, and no other text."""
    one = topic(Rules(10, 20))
    assert one.take(counter_text(5, 3), 60.0)
    one.decide(0.0)

    assert not one.take(text, 90.0)

    assert not one.decide(0.0)
    assert (counter_text(5, 3), 5, 60.0) == (one.shown, one.v, one.fresh_until)


def test_refused_counter_confirms_no_ticket() -> None:
    """Law 13: A text that is not taken does not make an invented ticket a confirmed one."""
    one = topic()

    assert not one.take(counter_text(9, 15, rules=Rules(20)), 90.0)

    assert (None, 0, False) == (one.counter, one.v, one.confirmed)


def test_withheld_counter_is_unknown_until_a_newer_one() -> None:
    """Law 13: Where what is stored may not be shown, neither is the counter that it replaced; the next one is."""
    one = topic()
    one.take(counter_text(5, 3), 60.0)
    one.withhold(5)
    one.withhold(4)
    one.decide(0.0)
    assert counter_text(5, 3) == one.shown

    one.withhold(6)

    assert one.decide(0.0)
    assert not one.verified
    assert wire.unknown(TicketId(TICKET)) == one.shown
    assert one.take(counter_text(4, 9), 60.0)
    assert not one.decide(0.0)
    assert one.take(counter_text(7, 2), 60.0)
    assert one.decide(0.0)
    assert counter_text(7, 2) == one.shown


def test_frames_hold_the_counter_shown() -> None:
    """A topic's WebSocket frame and SSE event hold the counter that it shows."""
    one = topic()
    one.take(counter_text(1), 5.0)

    one.decide(1.0)

    assert wire.ws_text(str(one.shown)) == one.ws
    assert wire.sse_data(str(one.shown)) == one.sse


def test_viewer_is_in_its_audience_once() -> None:
    """A viewer is in its audience once: in `fast` while its socket takes everything, else in `others`."""
    one, viewer = topic(), FakeViewer()
    audience = Audience(SiteId(SITE), (TicketId(TICKET),))
    audience.topics = (one,)
    line = socket.SocketType()

    assert not audience
    audience.add_fast(line, viewer)
    assert (1, {line: viewer}, set()) == (len(audience), audience.fast, audience.others)
    audience.add_slow(line, viewer)
    assert (1, {}, {viewer}) == (len(audience), audience.fast, audience.others)
    audience.add_fast(line, viewer)
    assert [viewer] == audience.viewers()
    assert [] == audience.shown()
    one.decide(1.0)
    assert [one] == audience.shown()
    line.close()
