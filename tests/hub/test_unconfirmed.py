import pytest

from server.counter import Rules
from server.errors import TooManyUnconfirmed
from server.hub.topics import TicketTopic
from server.hub.unconfirmed import Unconfirmed
from server.model import SiteId, TicketId
from tests.rig.default_keys import channel

ONE, OTHER = "192.0.2.1", "192.0.2.2"


def topic(number: int, address: str = ONE) -> TicketTopic:
    return TicketTopic(
        SiteId("site"),
        TicketId(f"ticket-{number}"),
        channel("site", f"ticket-{number}"),
        Rules(),
        0.0,
        asked_by=address,
    )


def test_unwatched_then_oldest_topic_is_over_the_limit() -> None:
    """Over the limit, topics without viewers are closed first, then those that were requested first."""
    unconfirmed = Unconfirmed(2)
    first, second, third, fourth = (topic(number) for number in range(4))
    for one in (first, second):
        unconfirmed.add(one)
    room = unconfirmed.over_limit
    unconfirmed.add(third)
    unconfirmed.add(fourth)
    unconfirmed.unwatched(third)
    gone = []
    while topic_ := unconfirmed.over_limit:
        gone.append(topic_)
        unconfirmed.discard(topic_)

    assert room is None
    assert [third, first] == gone
    assert [second, fourth] == list(unconfirmed)


def test_topic_requested_again_becomes_the_newest() -> None:
    """A topic that is requested again is the newest, and counts once, for the address that requested it first."""
    unconfirmed = Unconfirmed(10, most_per_address=2)
    first, second = topic(1), topic(2)
    for one in (first, second, first):
        unconfirmed.add(one)

    assert [second, first] == list(unconfirmed)
    unconfirmed.discard(second)
    unconfirmed.admit(1, ONE)


def test_unconfirmed_topics_per_address_are_limited() -> None:
    """Law 9: An address at its limit gets no more topics until some are confirmed or closed; other addresses do."""
    unconfirmed = Unconfirmed(10, most_per_address=3)
    mine = [topic(number) for number in range(2)]
    for one in mine:
        unconfirmed.add(one)

    unconfirmed.admit(1, ONE)
    with pytest.raises(TooManyUnconfirmed, match="come back"):
        unconfirmed.admit(2, ONE)
    unconfirmed.admit(3, OTHER)

    assert unconfirmed.discard(mine[0])
    assert not unconfirmed.discard(mine[0])
    unconfirmed.admit(2, ONE)


def test_first_request_of_an_address_is_always_admitted() -> None:
    """An address without unconfirmed topics may request a whole page of tickets."""
    Unconfirmed(10, most_per_address=3).admit(50, ONE)
