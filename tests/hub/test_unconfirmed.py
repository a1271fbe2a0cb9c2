import pytest

from server.errors import TooManyUnknown
from server.hub.topics import Topic
from server.hub.unconfirmed import Unproven
from server.model import SiteId, TicketId

ONE, OTHER = "192.0.2.1", "192.0.2.2"


def topic(number: int, address: str = ONE) -> Topic:
    return Topic(SiteId("site"), TicketId(f"ticket-{number}"), 0.0, address)


def test_the_oldest_gives_way() -> None:
    """Over the cap those go first that nobody watches, and then those that were asked for first."""
    unproven = Unproven(2)
    first, second, third, fourth = (topic(number) for number in range(4))
    for one in (first, second):
        unproven.asked_for(one)
    room = unproven.too_many
    unproven.asked_for(third)
    unproven.asked_for(fourth)
    unproven.left(third)
    gone = []
    while topic_ := unproven.too_many:
        gone.append(topic_)
        unproven.discard(topic_)

    assert room is None
    assert [third, first] == gone
    assert [second, fourth] == list(unproven)


def test_asked_for_again() -> None:
    """Who is asked for again is among the newest once more, and counts once for who asked first."""
    unproven = Unproven(10, most_an_address=2)
    first, second = topic(1), topic(2)
    for one in (first, second, first):
        unproven.asked_for(one)

    assert [second, first] == list(unproven)
    unproven.discard(second)
    unproven.admit(1, ONE)


def test_an_address_has_its_share() -> None:
    """Law 9: An address that has asked for its share gets no more until some are confirmed or gone; others do."""
    unproven = Unproven(10, most_an_address=3)
    mine = [topic(number) for number in range(2)]
    for one in mine:
        unproven.asked_for(one)

    unproven.admit(1, ONE)
    with pytest.raises(TooManyUnknown, match="come back"):
        unproven.admit(2, ONE)
    unproven.admit(3, OTHER)

    assert unproven.discard(mine[0])
    assert not unproven.discard(mine[0])
    unproven.admit(2, ONE)


def test_a_first_request_is_never_too_much() -> None:
    """Who has asked for nothing yet may ask for a whole page."""
    Unproven(10, most_an_address=3).admit(50, ONE)
