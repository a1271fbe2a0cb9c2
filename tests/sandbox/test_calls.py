from hypothesis import given
from hypothesis import strategies as st

from sandbox.calls import CallLog
from tests.rig.wix import ManualClock


def test_a_call_is_recorded_from_beginning_to_end() -> None:
    """A call is there as soon as it has begun, without status, and gets one with its answer."""
    clock = ManualClock()
    calls = CallLog(clock=clock)
    call = calls.begin("GET", "/x", "get")
    before = [(one.status, one.ms) for one in calls.since()]
    clock.advance(0.5)

    calls.end(call, 404)

    assert [(0, 0)] == before
    [found] = calls.since()
    assert (1, clock() - 0.5, "GET", "/x", "get", 404, 500) == (
        found.n,
        found.at,
        found.method,
        found.path,
        found.kind,
        found.status,
        found.ms,
    )


def test_calls_are_listed_by_number_and_kind() -> None:
    """One can ask for those after a number, and for those of a kind; only the last ones are kept."""
    calls = CallLog(keep=3)
    for kind in ("token", "get", "query", "get"):
        calls.begin("GET", "/x", kind)

    assert [2, 3, 4] == [call.n for call in calls.since()]
    assert [4] == [call.n for call in calls.since(2, "get")]


def test_the_limit_slides() -> None:
    """A call is admitted as soon as fewer than the limit were in the minute before it, not when a minute begins."""
    clock = ManualClock()
    calls = CallLog(clock=clock)
    seen = []
    for wait in (0, 30, 29, 1, 29, 1):
        clock.advance(wait)
        seen.append(calls.allow(2))

    assert [True, True, False, True, False, True] == seen


@given(st.lists(st.floats(0, 20), min_size=1, max_size=80), st.integers(1, 5))
def test_no_minute_has_more_than_the_limit(waits: list[float], limit: int) -> None:
    """However calls come, in no sixty seconds are more admitted than may be, and never is one refused without need."""
    clock = ManualClock(0.0)
    calls = CallLog(clock=clock)
    admitted: list[float] = []
    for wait in waits:
        clock.advance(wait)
        recent = [at for at in admitted if at > clock() - 60]
        taken = calls.allow(limit)
        assert (len(recent) < limit) is taken
        if taken:
            admitted.append(clock())
