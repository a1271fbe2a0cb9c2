"""The pace of each channel, and the state of each server that takes its messages, for all workers and sites together.

A channel is `mail` or `push`; a server is a relay (`mail`) or a push service (`push HOST`). In: what tries came to. Out: how long
to wait, and whether a server is paused. Every method raises RedisUnavailable when Redis does not take its command. Times are in
seconds since 1970, by Redis's clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from server.redis.client import RedisClient
from server.store import scripts
from server.store.keys import Keys
from server.store.timing import micros, seconds
from server.wire import encodable

BURST = 0.25
"""Seconds' worth of messages that may go out at once: enough for what a process is late by, and gentle to a relay."""
MOST_FAULTS = 10
"""Faults in a row that pause a server."""
FIRST_PROBE, LONGEST_PROBE = 10.0, 300.0
"""Seconds from the beginning of a pause to the first probe, which double with each, and at most between two."""
PROBE_LASTS = 60.0
"""Seconds after which another worker may probe, if the one that does has not said what came of it."""


@dataclass(frozen=True, slots=True)
class ServerState:
    """What is known of a server.

    `faults` in a row; why it is paused (None = it is not), since when, what helps, and when it is probed next; `wait_until`: it asked
    us to send nothing until then.
    """

    faults: int = 0
    paused_reason: str | None = None
    paused_at: float | None = None
    next_probe: float | None = None
    cure: str = ""
    wait_until: float = 0.0

    def held_for(self, now: float) -> float:
        """Seconds for which nothing may be sent to it; 0 where something may, were it only a probe."""
        until = self.wait_until
        if self.paused_reason is not None:
            until = max(until, self.next_probe or 0.0)
        return max(0.0, until - now)


class ChannelServers:
    """All channels and servers."""

    def __init__(self, redis: RedisClient) -> None:
        self.redis = redis
        self.keys = Keys(redis.namespace)

    async def pay(self, channel: str, per_second: float) -> float:
        """Take one message out of a channel's pace; answers for how many seconds to wait before it is claimed and sent."""
        keys = [self.keys.server(channel, "pace")]
        return seconds(float(await self.redis.run(scripts.NOTIFY_PAY, keys, [per_second, micros(BURST)])))

    async def state(self, server: str) -> ServerState:
        """What is known of a server."""
        return _state(dict(await self.redis.do("HGETALL", self._key(server))))

    async def failed(self, server: str, reason: str, cure: str, *, pause_now: bool) -> ServerState:
        """It failed, and no recipient is at fault; it is paused after `MOST_FAULTS` in a row, or now."""
        limits = (MOST_FAULTS, FIRST_PROBE, LONGEST_PROBE)
        await self._remember(server, "failed", encodable(reason), encodable(cure), int(pause_now), *limits)
        return await self.state(server)

    async def answered(self, server: str) -> None:
        """It took a message, or refused only its recipient: its faults and its pause are over."""
        await self._run(server, "answered")

    async def wait(self, server: str, until: float) -> None:
        """It asked us to send nothing until then."""
        await self._remember(server, "wait", repr(until))

    async def probe(self, server: str) -> bool:
        """Whether this worker may try now: always where it is not paused, else for one worker at a time, when a probe is due."""
        return bool(await self._run(server, "probe", PROBE_LASTS))

    async def resume(self, server: str) -> None:
        """A person has it go on."""
        await self._run(server, "resume")

    async def all(self) -> Mapping[str, ServerState]:
        """Each server of which something is remembered."""
        names: list[str] = sorted(await self.redis.do("SMEMBERS", self.keys.servers))
        found = {name: dict(await self.redis.do("HGETALL", self._key(name))) for name in names}
        if gone := [name for name, pairs in found.items() if not pairs]:
            await self.redis.do("SREM", self.keys.servers, *gone)
        return {name: _state(pairs) for name, pairs in found.items() if pairs}

    async def _remember(self, server: str, *args: str | float) -> None:
        # It may be listed without a state, but never has a state that is not listed.
        await self.redis.do("SADD", self.keys.servers, server)
        await self._run(server, *args)

    async def _run(self, server: str, *args: str | float) -> Any:
        return await self.redis.run(scripts.NOTIFY_SERVER, [self._key(server)], args)

    def _key(self, server: str) -> str:
        return self.keys.server(server, "state")


def _state(pairs: Mapping[str, str]) -> ServerState:
    return ServerState(
        faults=int(pairs.get("faults", 0)),
        paused_reason=pairs.get("reason"),
        paused_at=float(pairs["paused_at"]) if "paused_at" in pairs else None,
        next_probe=float(pairs["next_probe"]) if "next_probe" in pairs else None,
        cure=pairs.get("cure", ""),
        wait_until=float(pairs.get("wait_until", 0)),
    )
