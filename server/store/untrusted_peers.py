"""Peers outside of TRUSTED_PROXIES that sent X-Forwarded-For lately, for `doctor`: one that is a proxy is missing there.

In: addresses of peers, or networks in place of addresses that may be a visitor's (live/untrusted_peers.py). Out: each with the time
when it last did. What the header said is never stored.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from server.redis.client import RedisClient
from server.store.keys import Keys

KEPT_FOR = 3600
"""Seconds for which a peer is remembered after it last did so."""
MOST = 8
"""Peers that are remembered: the newest."""


class UntrustedPeersStore:
    """Those of a deployment. Each method raises RedisUnavailable."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._key = Keys(redis.namespace).untrusted_peers

    async def add(self, peers: Iterable[str]) -> None:
        """Remember that these did so just now. Two processes that write at once may lose one, which is written again as it goes on."""
        now = await self._now()
        known = {**_read(await self._redis.do("GET", self._key), now), **dict.fromkeys(peers, now)}
        newest = sorted(known.items(), key=lambda one: -one[1])[:MOST]
        await self._redis.do("SET", self._key, json.dumps(dict(newest)), "EX", KEPT_FOR)

    async def read(self) -> Mapping[str, float]:
        """Each peer and for how many seconds it has not done so again."""
        text = await self._redis.do("GET", self._key)
        if text is None:
            return {}
        now = await self._now()
        return {peer: now - at for peer, at in _read(text, now).items()}

    async def _now(self) -> float:
        seconds, _ = await self._redis.do("TIME")
        return float(seconds)


def _read(text: Any, now: float) -> dict[str, float]:
    """The peers of the last hour; none of what another version wrote differently."""
    try:
        found = {str(peer): float(at) for peer, at in json.loads(text or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}
    return {peer: at for peer, at in found.items() if now - at < KEPT_FOR}
