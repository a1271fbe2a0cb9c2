import socket

import pytest

from server.addresses import PrivateAddress, is_loopback, is_private_host, is_public, literal, public_addresses


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


def test_hosts_that_are_private_as_written() -> None:
    """A host is private as it is written: an address in any form that the system reads, or localhost; no other name is."""
    private = ("127.0.0.1", "127.1", "0x7f000001", "10.0.0.7", "::1", "fd00::1", "localhost", "a.LOCALHOST")
    assert [] == [host for host in private if not is_private_host(host)]
    assert [] == [host for host in ("1.1.1.1", "lists", "localhost.example", "2606:4700::1") if is_private_host(host)]


def test_addresses_of_this_machine() -> None:
    """An address of this machine is known in both versions of IP, and where IPv6 carries it."""
    assert [True, True, True] == [is_loopback(one) for one in ("127.8.0.1", "::1", "::ffff:127.0.0.1")]
    assert [False, False] == [is_loopback(one) for one in ("10.0.0.7", "::ffff:10.0.0.7")]


def test_addresses_as_they_are_written() -> None:
    """A host is an address in any form that the system reads; a name has none before it is looked up."""
    assert ["127.0.0.1", "8.8.8.8", "::1", "127.0.0.1", None] == [
        literal(one) for one in ("127.1", "134744072", "::1", "localhost.", "relay.example.org")
    ]
