import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.history import MAX_LAG, History


def test_a_moment_shows_what_was_there_then() -> None:
    """At any moment a thing is what it was last made before it."""
    past: History[str] = History()
    past.put("a", 10, "new")
    past.put("a", 20, "sold")
    past.put("b", 20, "late")
    past.put("a", 30, None)

    assert [{}, {"a": "new"}, {"a": "sold", "b": "late"}, {"b": "late"}] == [past.at(at) for at in (5, 15, 25, 35)]


def test_what_is_forgotten_was_always_so() -> None:
    """After forget the present reaches back for ever, and what is gone was never there."""
    past: History[str] = History()
    past.put("a", 10, "old")
    past.put("a", 20, "now")
    past.put("b", 20, None)

    past.forget()

    assert {"a": "now"} == past.at(-1e12)


@given(st.lists(st.floats(0, 300), min_size=1, max_size=30), st.floats(0, MAX_LAG))
def test_the_last_minute_is_never_lost(moments: list[float], lag: float) -> None:
    """However much happened, a read that lags within the limit is answered as if everything had been kept."""
    past: History[float] = History()
    ordered = sorted(moments)
    for at in ordered:
        past.put("a", at, at)

    moment = ordered[-1] - lag

    expected = [at for at in ordered if at <= moment]
    assert ({"a": expected[-1]} if expected else {}) == past.at(moment)


@pytest.mark.parametrize("number", [1000])
def test_memory_is_bounded(number: int) -> None:
    """What no read can lag behind to is dropped."""
    past: History[int] = History()
    for at in range(number):
        past.put("a", at, at)

    assert len(past._values["a"]) <= MAX_LAG + 2
