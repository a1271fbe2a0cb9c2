"""Which requests get counters: allowed origins, known sites, a client's address, and limits on open connections.

In: header values and a query string, as any client may send them. Out: the site and what to watch of it, with the connection
counted, or Refused. One Admission per process; the HTTP routes and the WebSocket class use the same one.
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from http import HTTPStatus
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from server import metrics
from server.errors import (
    BadRequest,
    EventNotListed,
    NoSiteYet,
    OriginNotAllowed,
    Refused,
    TooManyConnections,
    TooManyUnconfirmed,
    UnknownEvent,
    UnknownSite,
)  # fmt: skip
from server.hub.hub import Hub
from server.hub.topics import Wanted
from server.model import SiteId
from server.query import Query, parse
from server.wire import Close

MAX_CONNECTIONS = 20_000
MAX_CONNECTIONS_PER_ADDRESS = 100
"""Open connections: a school or an office shares one address, an attacker should not have them all."""

FULL = "full: come back in a while"

MAPPED = 96
"""Bits before an IPv4 address that is written as IPv6 (RFC 4291, section 2.5.5.2)."""

ANSWERS: Mapping[type[Refused], tuple[HTTPStatus, Close]] = {
    BadRequest: (HTTPStatus.BAD_REQUEST, Close.BAD_REQUEST),
    OriginNotAllowed: (HTTPStatus.FORBIDDEN, Close.ORIGIN),
    UnknownSite: (HTTPStatus.NOT_FOUND, Close.BAD_REQUEST),
    UnknownEvent: (HTTPStatus.NOT_FOUND, Close.BAD_REQUEST),
    EventNotListed: (HTTPStatus.NOT_FOUND, Close.FULL),
    NoSiteYet: (HTTPStatus.SERVICE_UNAVAILABLE, Close.FULL),
    TooManyConnections: (HTTPStatus.SERVICE_UNAVAILABLE, Close.FULL),
    TooManyUnconfirmed: (HTTPStatus.SERVICE_UNAVAILABLE, Close.FULL),
}
"""How each refusal is answered over HTTP, and with which code a WebSocket is closed."""


class Admitted(NamedTuple):
    """The counters that a request gets, and the address that its connection is counted for."""

    site: SiteId
    wanted: Wanted
    address: str


class KnownSites(Protocol):
    """What admission needs of store/sites.py."""

    @property
    def known(self) -> AbstractSet[SiteId]:
        """The sites that exist."""


class Admission:
    """The lists and limits of one process.

    *origins* is empty for all; *proxies* are addresses or networks of trusted proxies; *descriptors* is the number of
    viewers that the limit of open files allows, whatever *max_connections* says.
    """

    def __init__(
        self,
        sites: KnownSites,
        origins: Sequence[str] = (),
        proxies: Sequence[str] = (),
        *,
        max_connections: int = MAX_CONNECTIONS,
        max_connections_per_address: int = MAX_CONNECTIONS_PER_ADDRESS,
        descriptors: int = sys.maxsize,
    ) -> None:
        self.open = True
        self._sites = sites
        self._all_origins = not origins or "*" in origins
        self._exact = {origin.lower().rstrip("/") for origin in origins if "*" not in origin}
        self._wildcards = tuple(_wildcard(origin) for origin in origins if "*." in origin)
        self._proxies = tuple(map(_network, proxies))
        self._max_connections = max_connections
        self._max_connections_per_address = max_connections_per_address
        self._descriptors = descriptors
        self._per_address: Counter[str] = Counter()
        self._count = 0

    def admit(self, hub: Hub, origin: str | None, query: str, address: str) -> Admitted:
        """Check a request and count its connection, until `leave`. Raises Refused, which the metrics count by reason."""
        try:
            if not self.allows(origin):
                raise OriginNotAllowed("this origin is not in ORIGINS")
            if not self.open:
                raise TooManyConnections("restarting: come back in a while", reason="closing")
            site, wanted = resolve(parse(query), self._sites.known)
            hub.admit(site, wanted, address)
            self._enter(address)
        except Refused as refused:
            metrics.refused.labels(refused.reason).inc()
            raise
        return Admitted(site, wanted, address)

    def leave(self, address: str) -> None:
        """Stop counting a connection that was admitted."""
        self._count -= 1
        self._per_address[address] -= 1
        if not self._per_address[address]:
            del self._per_address[address]

    @property
    def out_of_descriptors(self) -> bool:
        """Whether viewers have all the descriptors that they may have: then a socket cannot even be told a reason."""
        return self._count >= self._descriptors

    @property
    def all_origins(self) -> bool:
        """Whether pages of every origin may read."""
        return self._all_origins

    def allows(self, origin: str | None) -> bool:
        """Whether a page of this origin may read; a client that is no browser sends none."""
        if self._all_origins or origin is None:
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
            parts.scheme == scheme and host.endswith(tail) and port == wanted
            for scheme, tail, wanted in self._wildcards
        )

    def frame_ancestors(self) -> str:
        """The CSP source list of pages that may put ours in a frame."""
        if self._all_origins:
            return "*"
        tails = (f"{scheme}://*{tail}" + (f":{port}" if port else "") for scheme, tail, port in self._wildcards)
        return " ".join([*sorted(self._exact - {"null"}), *tails]) or "'none'"

    def address(self, peer: str, forwarded_for: str | None) -> str:
        """The client's address: the right-most hop that no trusted proxy added; IPv6 counts by its /64."""
        address = peer
        hops = [hop.strip() for hop in forwarded_for.split(",")] if forwarded_for else []
        while hops and self._trusted(address):
            address = hops.pop()
        return _prefix(address)

    def _enter(self, address: str) -> None:
        if self.out_of_descriptors:
            raise TooManyConnections(FULL, reason="descriptors")
        if self._count >= self._max_connections:
            raise TooManyConnections(FULL, reason="full")
        if self._per_address[address] >= self._max_connections_per_address:
            raise TooManyConnections(FULL, reason="address")
        self._count += 1
        self._per_address[address] += 1

    def _trusted(self, address: str) -> bool:
        found = _ip(address)
        return found is not None and any(found in network for network in self._proxies)


def resolve(query: Query, sites: AbstractSet[SiteId]) -> tuple[SiteId, Wanted]:
    """The site of a request, and the tickets or the event; the site may be left out while only one is known.

    Raises BadRequest, or UnknownSite, which leaves no trace in Redis, or NoSiteYet.
    """
    if not sites:
        raise NoSiteYet("no site is known here yet: come back in a while")
    wanted: Wanted = query.event or query.tickets
    if query.site is None:
        if len(sites) != 1:
            raise BadRequest("site", f"{len(sites)} sites are known here: add &site=<app instance id>")
        return next(iter(sites)), wanted
    if query.site not in sites:
        raise UnknownSite(f"site {query.site} is not known here")
    return query.site, wanted


def _wildcard(origin: str) -> tuple[str, str, int | None]:
    parts = urlsplit(origin.lower().replace("*.", "wildcard.", 1))
    return parts.scheme, (parts.hostname or "").removeprefix("wildcard"), parts.port


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
