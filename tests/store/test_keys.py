from server.store.keys import channel, key, micros, seconds


def test_keys_of_a_site_share_a_slot() -> None:
    """Every key and channel of a site carries its name in braces, which is what a cluster places it by."""
    assert "tc:{S}:ticket:T" == key("S", "ticket", "T")
    assert "tc:{S}:live:T" == channel("S", "T")


def test_microseconds() -> None:
    """Seconds become whole microseconds and come back."""
    assert 1_500_000 == micros(1.5)
    assert 1.5 == seconds(1_500_000)
