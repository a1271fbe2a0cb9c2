"""Which requests get counters: allowed origins, known sites, a client's address, and limits on open connections.

In: header values and a query string, as any client may send them. Out: the site and what to watch of it, with the connection
counted, or Refused. One Admission per process; the HTTP routes and the WebSocket class use the same one. A request that names no site,
where several are known, is Undecided until its site is looked up (hub/site_lookup.py).
"""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlsplit

from server import logs, metrics
from server.errors import (
    BadRequest,
    EventNotListed,
    NoSiteYet,
    OriginNotAllowed,
    Refused,
    SiteNotFound,
    TooManyConnections,
    TooManyUnconfirmed,
    UnknownEvent,
    UnknownSite,
    UnknownTicket,
)  # fmt: skip
from server.hub.hub import Hub
from server.hub.site_lookup import SiteLookup
from server.hub.topics import Wanted
from server.live.client_address import WARN_EVERY, ClientAddresses, private
from server.live.untrusted_peers import UntrustedPeers
from server.model import SiteId
from server.query import Query, parse
from server.wire import Close

MAX_CONNECTIONS = 20_000
MAX_CONNECTIONS_PER_ADDRESS = 100
"""Open connections: a school or an office shares one address, an attacker should not have them all."""

FULL = "full: come back in a while"

ANSWERS: Mapping[type[Refused], tuple[HTTPStatus, Close]] = {
    BadRequest: (HTTPStatus.BAD_REQUEST, Close.BAD_REQUEST),
    OriginNotAllowed: (HTTPStatus.FORBIDDEN, Close.ORIGIN),
    UnknownSite: (HTTPStatus.NOT_FOUND, Close.BAD_REQUEST),
    # A ticket that is new, or that Redis lost, has not been read yet.
    UnknownTicket: (HTTPStatus.NOT_FOUND, Close.FULL),
    SiteNotFound: (HTTPStatus.SERVICE_UNAVAILABLE, Close.FULL),
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


class Undecided(NamedTuple):
    """A request whose connection is counted for this address, and whose site has to be looked up."""

    query: Query
    address: str


class Admission:
    """The lists and limits of one process.

    *origins* is empty for all; *proxies* are addresses or networks of trusted proxies; *descriptors* is the number of
    viewers that the limit of open files allows, whatever *max_connections* says.
    """

    def __init__(
        self,
        sites: SiteLookup,
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
        self._addresses = ClientAddresses(proxies)
        self._address_full = logs.RepeatedWarning(logs.logger("admission"), "address_full", WARN_EVERY)
        self._max_connections = max_connections
        self._max_connections_per_address = max_connections_per_address
        self._descriptors = descriptors
        self._per_address: Counter[str] = Counter()
        self._count = 0

    def admit(self, hub: Hub, origin: str | None, query: str, address: str) -> Admitted | Undecided:
        """Check a request and count its connection, until `leave`. Raises Refused, which the metrics count by reason."""
        with _counted():
            if not self.allows(origin):
                raise OriginNotAllowed("this origin is not in ORIGINS")
            self._check_open()
            asked = parse(query)
            site = self._sites.resolve(asked)
            if site is not None:
                hub.admit(site, asked.wanted, address)
            self._enter(address)
        return Undecided(asked, address) if site is None else Admitted(site, asked.wanted, address)

    async def look_up(self, hub: Hub, undecided: Undecided) -> Admitted:
        """Look the site of a request up. Raises Refused, as `admit`; the connection stays counted until `leave` in any case."""
        query, address = undecided
        with _counted():
            site = await self._sites.find(query, address)
            # It may have begun to close meanwhile.
            self._check_open()
            hub.admit(site, query.wanted, address)
        return Admitted(site, query.wanted, address)

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

    @property
    def untrusted_peers(self) -> UntrustedPeers:
        """The peers that name a client's address and are not trusted."""
        return self._addresses.untrusted

    def address(self, peer: str, forwarded_for: str | None) -> str:
        """The address that a connection is counted for (client_address.py)."""
        return self._addresses.address(peer, forwarded_for)

    def _check_open(self) -> None:
        if not self.open:
            raise TooManyConnections("restarting: come back in a while", reason="closing")

    def _enter(self, address: str) -> None:
        if self.out_of_descriptors:
            raise TooManyConnections(FULL, reason="descriptors")
        if self._count >= self._max_connections:
            raise TooManyConnections(FULL, reason="full")
        if self._per_address[address] >= self._max_connections_per_address:
            self._warn_full(private(address))
            raise TooManyConnections(FULL, reason="address")
        self._count += 1
        self._per_address[address] += 1

    def _warn_full(self, proxy: str | None) -> None:
        """Tell that one address has all its connections: most often that of a proxy, which names no visitors."""
        self._address_full.warn(
            "address",
            **({"address": proxy} if proxy else {}),
            hint=f"an address has MAX_CONNECTIONS_PER_ADDRESS={self._max_connections_per_address} viewers, and others there are turned "
            "away: if it is your proxy, let it send X-Forwarded-For and add it to TRUSTED_PROXIES; if it is a place with many "
            "visitors, raise MAX_CONNECTIONS_PER_ADDRESS",
        )


@contextmanager
def _counted() -> Iterator[None]:
    """Count a refusal by its reason."""
    try:
        yield
    except Refused as refused:
        metrics.refused.labels(refused.reason).inc()
        raise


def _wildcard(origin: str) -> tuple[str, str, int | None]:
    parts = urlsplit(origin.lower().replace("*.", "wildcard.", 1))
    return parts.scheme, (parts.hostname or "").removeprefix("wildcard"), parts.port
