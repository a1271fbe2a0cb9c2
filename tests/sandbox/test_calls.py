from hypothesis import given
from hypothesis import strategies as st

from sandbox.calls import CallLog
from tests.rig.wix import ManualClock


def test_call_is_recorded_from_beginning_to_end() -> None:
    """A call is recorded as soon as it begins, without a status, which it gets with its answer."""
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
    """Calls can be listed after a number, and by kind; only the last ones are kept."""
    calls = CallLog(keep=3)
    for kind in ("token", "get", "query", "get"):
        calls.begin("GET", "/x", kind)

    assert [2, 3, 4] == [call.n for call in calls.since()]
    assert [4] == [call.n for call in calls.since(2, "get")]


def test_rate_limit_has_a_sliding_window() -> None:
    """A call is admitted as soon as fewer than the limit were in the minute before it, not at fixed minutes."""
    clock = ManualClock()
    calls = CallLog(clock=clock)
    seen = []
    for wait in (0, 30, 29, 1, 29, 1):
        clock.advance(wait)
        seen.append(calls.allow(2))

    assert [True, True, False, True, False, True] == seen


@given(st.lists(st.floats(0, 20), min_size=1, max_size=80), st.integers(1, 5))
def test_no_minute_exceeds_the_rate_limit(waits: list[float], limit: int) -> None:
    """At any pace of calls, no sixty seconds have more than the limit, and no call is refused without need."""
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
