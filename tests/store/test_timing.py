from server.store.timing import Timing, micros, seconds


def test_timing_fits_together() -> None:
    """A watched ticket is read well before its number is withdrawn, and a lease outlives the read under it."""
    timing = Timing()

    assert 2 * timing.watch_every < timing.max_stale
    assert timing.watch_every < timing.watch_for < timing.lease


def test_microseconds() -> None:
    """Seconds become whole microseconds and come back."""
    assert 1_500_000 == micros(1.5)
    assert 1.5 == seconds(1_500_000)
