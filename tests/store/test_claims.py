from server.model import Pace
from server.store.claims import NextRead, read_again
from tests.rig.stored_site import A, B


def test_arguments_of_a_next_read() -> None:
    """What settle.lua takes of each ticket: id, pace, and the ends of its sale, of which any may be missing."""
    assert (A, "live", "", "") == NextRead(A, Pace.LIVE).arguments()
    assert (A, "slow", 0, 7) == NextRead(A, Pace.SLOW, 0, 7).arguments()
    assert (A, "again", 5, "") == NextRead(A, Pace.DEAD, 5, again=True).arguments()


def test_read_again() -> None:
    """Each ticket that could not be read is read again in a moment."""
    assert [(A, True), (B, True)] == [(one.ticket, one.again) for one in read_again([A, B])]
    assert [] == read_again([])
