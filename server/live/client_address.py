"""A client's address: that of its connection, or the one that a trusted proxy names in X-Forwarded-For.

In: the address at the other end of a connection, and the header's value. Out: the address that a connection is counted for. A header from
any other peer is not believed; it is counted, logged and noted for `doctor`, since a proxy that is missing in TRUSTED_PROXIES makes all
visitors one.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from server import logs, metrics
from server.addresses import is_public
from server.live.untrusted_peers import UntrustedPeers

MAPPED = 96
"""Bits before an IPv4 address that is written as IPv6 (RFC 4291, section 2.5.5.2)."""
WARN_EVERY = 600.0
"""Seconds between two warnings: anybody can send the header, but a proxy that is missing is told within this time."""

_KEY = "untrusted"


class ClientAddresses:
    """Reads addresses; *proxies* are addresses or networks of trusted proxies."""

    def __init__(self, proxies: Sequence[str] = (), *, warn_every: float = WARN_EVERY) -> None:
        self._proxies = tuple(map(_network, proxies))
        self.untrusted = UntrustedPeers()
        self._warning = logs.RepeatedWarning(logs.logger("admission"), "untrusted_proxy", warn_every)

    def address(self, peer: str, forwarded_for: str | None) -> str:
        """The client's address: the right-most hop that no trusted proxy added; IPv6 counts by its /64."""
        address = peer
        if forwarded_for:
            hops = [hop.strip() for hop in forwarded_for.split(",")]
            if not self.trusts(peer):
                self._warn(peer)
                if found := _ip(peer):
                    self.untrusted.saw(str(found), forwarded_for)
            while hops and self.trusts(address):
                address = hops.pop()
        return _prefix(address)

    def trusts(self, address: str) -> bool:
        """Whether this address is that of a trusted proxy."""
        found = _ip(address)
        return found is not None and any(found in network for network in self._proxies)

    def _warn(self, peer: str) -> None:
        """Count a header that is not believed. A public address may be a visitor's, so only a private one is logged."""
        metrics.untrusted_forwarded.inc()
        proxy = private(peer)
        add = f"add {proxy}" if proxy else "add its address or network (a CDN publishes its own)"
        self._warning.warn(
            _KEY,
            **({"proxy": proxy} if proxy else {}),
            hint="a peer that is not in TRUSTED_PROXIES sent X-Forwarded-For, which was ignored: if it is your proxy, all its visitors "
            f"count as one address and are turned away together by MAX_CONNECTIONS_PER_ADDRESS: {add} to TRUSTED_PROXIES. If no "
            "proxy stands in front, a client sent it, and nothing is to be done",
        )


def private(address: str) -> str | None:
    """This address where it is in a network of our own, as a proxy's is; None for any other, which may be a visitor's."""
    found = _ip(address)
    return None if found is None or is_public(str(found)) else str(found)


def _ip(address: str) -> IPv4Address | IPv6Address | None:
    """Read an address as a header has it: perhaps with a port, perhaps IPv4 written as IPv6."""
    if address.startswith("["):
        address = address[1:].partition("]")[0]
    elif "." in address:
        # 192.0.2.1:443, but not ::ffff:192.0.2.1
        host, _, port = address.rpartition(":")
        address = host if port.isdecimal() else address
    try:
        found = ip_address(address)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def _network(text: str) -> IPv4Network | IPv6Network:
    """Read a network for comparison with addresses: IPv4 written as IPv6 is IPv4."""
    found = ip_network(text, strict=False)
    if isinstance(found, IPv6Network) and (mapped := found.network_address.ipv4_mapped) and found.prefixlen >= MAPPED:
        return IPv4Network((mapped, found.prefixlen - MAPPED))
    return found


@lru_cache(maxsize=4096)  # behind a proxy all peers are one; without it the same addresses come again
def _prefix(address: str) -> str:
    found = _ip(address)
    if isinstance(found, IPv6Address):
        return str(IPv6Network((found.packed, 64), strict=False))
    return str(found or "unknown")
