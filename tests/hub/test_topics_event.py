from server.errors import UnknownEvent
from server.hub.topics import Audience, EventTopic
from server.model import EventId, EventName, SiteId, TicketId
from server.wire import MOST_LISTED, event_list, sse_data, ws_text
from tests.rig.default_keys import KEYS
from tests.rig.server import OTHER, SITE, TICKET

EVENT = EventId("0b5f1a2e-4444-4444-8444-00000000e001")
TICKETS = (TicketId(TICKET), TicketId(OTHER))


def topic(name: str = EVENT) -> EventTopic:
    return EventTopic(SiteId(SITE), EventName(name), KEYS.event_channel(SITE, name))


def test_list_is_shown_once() -> None:
    """A list is shown when it is there, and again only when it is another."""
    one = topic()
    assert (False, False) == (one.decide(0.0), one.verified)

    assert one.take(event_list(EVENT, TICKETS))
    assert [True, False] == [one.decide(0.0), one.decide(1e9)]
    assert (TICKETS, True, True) == (one.tickets, one.verified, one.confirmed)
    assert (ws_text(event_list(EVENT, TICKETS)), sse_data(event_list(EVENT, TICKETS))) == (one.ws, one.sse)

    assert one.take(event_list(EVENT, TICKETS[:1]))
    assert one.decide(0.0)


def test_only_a_list_of_this_event_is_taken() -> None:
    """A text that is no list, a list of another event, and one of too many tickets leave what is there."""
    one = topic()
    one.take(event_list(EVENT, TICKETS))
    too_many = [TicketId(f"{number:08}-aaaa-4aaa-8aaa-000000000001") for number in range(MOST_LISTED + 1)]
    texts = ["", "null", "{}", event_list(EventId(OTHER), TICKETS), event_list(EVENT, too_many)]

    assert [False] * len(texts) == [one.take(text) for text in texts]
    assert TICKETS == one.tickets
    assert topic("a-slug").take(event_list(EVENT, too_many[:-1]))


def test_refusal_ends_with_a_list() -> None:
    """What is refused has no list; a list ends the refusal."""
    one = topic()
    one.take(event_list(EVENT, TICKETS))
    one.decide(0.0)
    refusal = UnknownEvent("no such event")

    one.refuse(refusal)
    assert (refusal, (), False, False) == (one.refusal, one.tickets, one.verified, one.decide(0.0))

    one.take(event_list(EVENT, TICKETS))
    assert (None, True) == (one.refusal, one.decide(0.0))


def test_audience_of_an_event_has_no_ticket_before_its_list() -> None:
    """The topics of an audience are those that it was given; tickets are told apart from the list."""
    audience = Audience(SiteId(SITE), EventName(EVENT))
    one = topic()
    audience.topics = (one,)

    assert (SiteId(SITE), EventName(EVENT)) == audience.wanted
    assert [] == audience.tickets
    assert [] == audience.shown()
    one.take(event_list(EVENT, TICKETS))
    one.decide(0.0)
    assert [one] == audience.shown()
