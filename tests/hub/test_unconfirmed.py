import pytest

from server.errors import TooManyUnconfirmed
from server.hub.topics import Topic
from server.hub.unconfirmed import Unconfirmed
from server.model import SiteId, TicketId

ONE, OTHER = "192.0.2.1", "192.0.2.2"


def topic(number: int, address: str = ONE) -> Topic:
    return Topic(SiteId("site"), TicketId(f"ticket-{number}"), 0.0, address)


def test_the_oldest_gives_way() -> None:
    """Over the cap those go first that nobody watches, and then those that were asked for first."""
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


def test_asked_for_again() -> None:
    """Who is asked for again is among the newest once more, and counts once for who asked first."""
    unconfirmed = Unconfirmed(10, most_per_address=2)
    first, second = topic(1), topic(2)
    for one in (first, second, first):
        unconfirmed.add(one)

    assert [second, first] == list(unconfirmed)
    unconfirmed.discard(second)
    unconfirmed.admit(1, ONE)


def test_an_address_has_its_share() -> None:
    """Law 9: An address that has asked for its share gets no more until some are confirmed or gone; others do."""
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


def test_a_first_request_is_never_too_much() -> None:
    """Who has asked for nothing yet may ask for a whole page."""
    Unconfirmed(10, most_per_address=3).admit(50, ONE)
