"""Who may come in: allowed origins, a client's true address, and caps on open connections.

In: header values as strangers send them. Out: yes or no, and an address to count by. One Admission a process; the
WebSocket class and the HTTP routes ask the same one.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from server import metrics

MOST = 20_000
MOST_AN_ADDRESS = 100
"""Open connections: a school or an office shares one address, an attacker should not have them all."""

MAPPED = 96
"""Bits before an IPv4 address that is written as IPv6 (RFC 4291, section 2.5.5.2)."""


class Admission:
    """The caps and lists of one process.

    *origins* is empty for everyone; *proxies* are addresses or networks; *descriptors* is for how many viewers there are
    descriptors, whatever *most* says.
    """

    def __init__(
        self,
        origins: Sequence[str] = (),
        proxies: Sequence[str] = (),
        *,
        most: int = MOST,
        most_an_address: int = MOST_AN_ADDRESS,
        descriptors: int = sys.maxsize,
    ) -> None:
        self.open = True
        self._any = not origins or "*" in origins
        self._exact = {origin.lower().rstrip("/") for origin in origins if "*" not in origin}
        self._below = tuple(_wildcard(origin) for origin in origins if "*." in origin)
        self._proxies = tuple(map(_network, proxies))
        self._most = most
        self._most_an_address = most_an_address
        self._descriptors = descriptors
        self._inside: Counter[str] = Counter()
        self._count = 0

    @property
    def anyone(self) -> bool:
        """Whether pages of every origin may read."""
        return self._any

    @property
    def crowded(self) -> bool:
        """Whether viewers have all the descriptors that they may have: then not even a reason can be told to one."""
        return self._count >= self._descriptors

    def admits(self, origin: str | None) -> bool:
        """Whether a page of this origin may read; a client that is no browser sends none."""
        if self._any or origin is None:
            return True
        lowered = origin.lower()
        if lowered in self._exact:
            return True
        try:
            parts = urlsplit(lowered)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            return False
        return any(
            parts.scheme == scheme and host.endswith(tail) and port == wanted for scheme, tail, wanted in self._below
        )

    def frame_ancestors(self) -> str:
        """The CSP source list of pages that may frame us."""
        if self._any:
            return "*"
        tails = (f"{scheme}://*{tail}" + (f":{port}" if port else "") for scheme, tail, port in self._below)
        return " ".join([*sorted(self._exact - {"null"}), *tails]) or "'none'"

    def address(self, peer: str, forwarded_for: str | None) -> str:
        """The client's address: the right-most hop that no trusted proxy of ours added; IPv6 counts by its /64."""
        address = peer
        hops = [hop.strip() for hop in forwarded_for.split(",")] if forwarded_for else []
        while hops and self._trusted(address):
            address = hops.pop()
        return _prefix(address)

    def enter(self, address: str) -> bool:
        """Count a connection in; False when the process or the address has too many, or we are closing."""
        if not self.open:
            metrics.refused.labels("closing").inc()
            return False
        if self.crowded:
            metrics.refused.labels("descriptors").inc()
            return False
        if self._count >= self._most:
            metrics.refused.labels("full").inc()
            return False
        if self._inside[address] >= self._most_an_address:
            metrics.refused.labels("address").inc()
            return False
        self._count += 1
        self._inside[address] += 1
        return True

    def leave(self, address: str) -> None:
        """Count a connection out."""
        self._count -= 1
        self._inside[address] -= 1
        if not self._inside[address]:
            del self._inside[address]

    def _trusted(self, address: str) -> bool:
        found = _ip(address)
        return found is not None and any(found in network for network in self._proxies)


def _wildcard(origin: str) -> tuple[str, str, int | None]:
    parts = urlsplit(origin.lower().replace("*.", "wildcard.", 1))
    return parts.scheme, (parts.hostname or "").removeprefix("wildcard"), parts.port


def _ip(address: str) -> IPv4Address | IPv6Address | None:
    """An address as a header has it: perhaps with a port, perhaps IPv4 written as IPv6."""
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
    """A network as it is compared with addresses: IPv4 written as IPv6 is IPv4."""
    found = ip_network(text, strict=False)
    if isinstance(found, IPv6Network) and (mapped := found.network_address.ipv4_mapped) and found.prefixlen >= MAPPED:
        return IPv4Network((mapped, found.prefixlen - MAPPED))
    return found


@lru_cache(maxsize=4096)  # behind a proxy all peers are one; at a door the same come again
def _prefix(address: str) -> str:
    found = _ip(address)
    if isinstance(found, IPv6Address):
        return str(IPv6Network((found.packed, 64), strict=False))
    return str(found or "unknown")
