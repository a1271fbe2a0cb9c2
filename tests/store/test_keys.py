from server.store.keys import channel, key


def test_keys_of_a_site_share_a_slot() -> None:
    """Every key and channel of a site carries its name in braces, which is what a cluster places it by."""
    assert "tc:{S}:ticket:T" == key("S", "ticket", "T")
    assert "tc:{S}:live:T" == channel("S", "T")
