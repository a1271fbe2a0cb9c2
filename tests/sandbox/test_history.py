import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.history import MAX_LAG, History


def test_history_at_a_moment() -> None:
    """At any moment a key has the last value stored before it."""
    history: History[str] = History()
    history.put("a", 10, "new")
    history.put("a", 20, "sold")
    history.put("b", 20, "late")
    history.put("a", 30, None)

    assert [{}, {"a": "new"}, {"a": "sold", "b": "late"}, {"b": "late"}] == [history.at(at) for at in (5, 15, 25, 35)]


def test_forget_makes_the_present_eternal() -> None:
    """After forget the present values hold for all earlier times, and deleted keys never existed."""
    history: History[str] = History()
    history.put("a", 10, "old")
    history.put("a", 20, "now")
    history.put("b", 20, None)

    history.forget()

    assert {"a": "now"} == history.at(-1e12)


@given(st.lists(st.floats(0, 300), min_size=1, max_size=30), st.floats(0, MAX_LAG))
def test_history_of_the_last_minute_is_complete(moments: list[float], lag: float) -> None:
    """However many changes there were, a read that lags within the limit gets the exact value."""
    history: History[float] = History()
    ordered = sorted(moments)
    for at in ordered:
        history.put("a", at, at)

    moment = ordered[-1] - lag

    expected = [at for at in ordered if at <= moment]
    assert ({"a": expected[-1]} if expected else {}) == history.at(moment)


@pytest.mark.parametrize("number", [1000])
def test_old_history_is_dropped(number: int) -> None:
    """Values that are older than any read can lag are dropped."""
    history: History[int] = History()
    for at in range(number):
        history.put("a", at, at)

    assert len(history._values["a"]) <= MAX_LAG + 2
