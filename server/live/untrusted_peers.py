"""Notes in Redis which peers outside of TRUSTED_PROXIES send X-Forwarded-For, so that `doctor` can name the one to add.

In: each such request's peer and header. Out: entries in Redis, at once for a new peer. A private address is that of a proxy, and is
noted as it is. A public one may be a visitor's, as any client can send the header: only its network is noted (IPv4 /24, IPv6 /48), and
only after it forwarded for several clients, as the proxies of a content delivery network do.
"""

from ipaddress import ip_address, ip_network

from server import logs
from server.addresses import is_public
from server.errors import RedisUnavailable
from server.store.untrusted_peers import UntrustedPeersStore
from server.timed_event import TimedEvent

CLIENTS = 3
"""Clients for which a public network forwards before it is noted."""
MOST_PEERS = 64
"""Peers, and public networks, that are remembered: the first ones, until the next round."""
EVERY = 60.0
"""Seconds between two notes of the same peers."""

log = logs.logger("untrusted_peers")


class UntrustedPeers:
    """What one process saw; *every* in seconds."""

    def __init__(self, *, every: float = EVERY) -> None:
        self._every = every
        self._seen: set[str] = set()
        self._noted: frozenset[str] = frozenset()
        self._clients: dict[str, set[int]] = {}
        self._new = TimedEvent()

    def saw(self, peer: str, forwarded_for: str) -> None:
        """This address, which is not trusted, sent this header."""
        name = self._name(peer, forwarded_for)
        if name is None or len(self._seen) >= MOST_PEERS:
            return
        self._seen.add(name)
        if name not in self._noted:
            self._new.set()

    async def run(self, store: UntrustedPeersStore) -> None:
        """Note them until cancelled."""
        while True:
            self._new.clear()
            try:
                await self._note(store)
            except RedisUnavailable:
                log.debug(
                    "untrusted_peers_not_noted",
                    hint="the feed reports that Redis is away; they are noted once it is back",
                )
            await self._new.within(self._every)

    async def _note(self, store: UntrustedPeersStore) -> None:
        if seen := frozenset(self._seen):
            await store.add(seen)
            self._noted = seen
            self._seen -= seen
            self._clients.clear()

    def _name(self, peer: str, forwarded_for: str) -> str | None:
        """Under which name a peer is noted; None for one that is not, or not yet."""
        if not is_public(peer):
            return peer
        prefix = 24 if ip_address(peer).version == 4 else 48
        network = str(ip_network(f"{peer}/{prefix}", strict=False))
        if network not in self._clients and len(self._clients) >= MOST_PEERS:
            return None
        clients = self._clients.setdefault(network, set())
        if len(clients) < CLIENTS:
            clients.add(hash(forwarded_for))
        return network if len(clients) >= CLIENTS else None
