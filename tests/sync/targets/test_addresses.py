import socket

import pytest

from server.sync.targets.addresses import PrivateAddress, is_public, public_addresses


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "192.0.1.1",
        "172.32.0.1",
        "2606:4700::1111",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::1",
    ],
)
def test_public_addresses(address: str) -> None:
    """An address of the internet may be a target's, also where IPv6 carries IPv4."""
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%lo",
        "fec0::1",
        "fc00::1",
        "fd12::1",
        "ff02::1",
        "ff0e::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::1",
        "2002:a00:1::1",
    ],
)
def test_addresses_of_our_own_networks(address: str) -> None:
    """Loopback, link-local, private, multicast and reserved addresses are refused, also where IPv6 carries them."""
    assert not is_public(address)


async def test_a_name_is_refused_by_its_addresses() -> None:
    """A name is judged by the addresses that it has, and the error says which one, and how to allow it."""
    with pytest.raises(PrivateAddress, match=r"localhost is at (127\.0\.0\.1|::1), .* allow_private = true"):
        await public_addresses("localhost", 443)


async def test_public_addresses_are_answered_in_order() -> None:
    """A host with a public address is at that address."""
    assert ["8.8.8.8"] == await public_addresses("8.8.8.8", 443)


async def test_an_unknown_name_has_no_address() -> None:
    """A name that does not exist is an error of the network, not a refusal."""
    with pytest.raises(socket.gaierror):
        await public_addresses("no-such-host.invalid", 443)
