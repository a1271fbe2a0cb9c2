from server.store.timing import Timing, micros, seconds


def test_timing_constants_fit_together() -> None:
    """A watched ticket is read well before its number is withdrawn, and a lease outlives its read."""
    timing = Timing()

    assert 2 * timing.watch_every < timing.max_stale
    assert timing.watch_every < timing.watch_for < timing.lease


def test_seconds_become_whole_microseconds() -> None:
    """Seconds become whole microseconds and back."""
    assert 1_500_000 == micros(1.5)
    assert 1.5 == seconds(1_500_000)
