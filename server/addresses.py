"""Which addresses of the network a request may go to: a setting, or a visitor, names a host, and its name server could name our own machines.

In: a host and a port. Out: its public addresses, to which deadline.py then connects, so that a name cannot lead elsewhere between
the check and the connection (server-side request forgery, SSRF). Private ones are refused: loopback, link-local (cloud metadata),
private networks, multicast, reserved (IANA, "Special-Purpose Address Registries"), also where IPv6 carries an IPv4 address.
"""

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

_NAT64 = IPv6Network("64:ff9b::/96")
"""Addresses that a network translates to the IPv4 address in their last 32 bits (RFC 6052)."""


class PrivateAddress(OSError):
    """A host has only addresses that a target may not be at."""


async def public_addresses(host: str, port: int) -> Sequence[str]:
    """The host's public addresses, in the order of the system; raises PrivateAddress, or OSError where it has none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(place[0]) for *_, place in found]
    public = [address for address in addresses if is_public(address)]
    if not public:
        raise PrivateAddress(
            f"{host} is at {addresses[0]}, which is not public: set allow_private = true if that is right"
        )
    return public


def is_public(address: str) -> bool:
    """Whether an IPv4 or IPv6 address can be anywhere on the internet, and not only in a network of our own."""
    found = ip_address(address)
    if isinstance(found, IPv6Address) and (inner := _carried(found)) is not None:
        found = inner
    if isinstance(found, IPv6Address) and found.is_site_local:
        return False
    return found.is_global and not (found.is_multicast or found.is_reserved)


def is_loopback(address: str) -> bool:
    """Whether an IPv4 or IPv6 address is of this machine."""
    found = ip_address(address)
    inner = _carried(found) if isinstance(found, IPv6Address) else None
    return (inner or found).is_loopback


def is_private_host(host: str) -> bool:
    """Whether this host is a private address as it is written; any other name is looked up only when it is called."""
    address = literal(host)
    return address is not None and not is_public(address)


def literal(host: str) -> str | None:
    """The address that this host is as it is written; None for a name, which is looked up only when it is called."""
    try:
        return str(ip_address(host))
    except ValueError:
        try:
            return socket.inet_ntoa(socket.inet_aton(host))  # also 127.1 and 0x7f000001, as the system reads them
        except OSError:
            name = host.lower().rstrip(".")
            return "127.0.0.1" if name == "localhost" or name.endswith(".localhost") else None


def _carried(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address to which packets for this IPv6 address go in the end: mapped, 6to4, NAT64."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour
