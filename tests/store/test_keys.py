from server.store.keys import channel, key


def test_keys_of_a_site_share_a_slot() -> None:
    """Every key and channel of a site has its name in braces, from which a cluster computes the slot."""
    assert "tc:{S}:ticket:T" == key("S", "ticket", "T")
    assert "tc:{S}:live:T" == channel("S", "T")
