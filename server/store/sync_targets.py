"""The state of each target of sync, whatever the site: pauses, faults, the budget of requests.

In: what requests came to, and what people ask for. Out: for how long nothing may be sent. Every method raises RedisUnavailable
when Redis does not take its command. Times are in seconds since 1970.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from server.redis.client import RedisClient
from server.store import scripts
from server.store.keys import Keys
from server.wire import encodable


@dataclass(frozen=True, slots=True)
class TargetState:
    """What is known of a target.

    `paused`: the reason that a person gave, since `paused_at`. `wait_until`: after `faults` in a row. `error`: the last of them, or
    of earlier ones that are over, at `error_at`. `answered_at`, `latency`: its last good answer, and the seconds it took. `digest`: of its settings. `served_at`: when a worker
    last said that it brings tickets to it, with settings of `served_digest`.
    """

    paused: str | None = None
    paused_at: float = 0.0
    wait_until: float = 0.0
    faults: int = 0
    error: str = ""
    error_at: float = 0.0
    answered_at: float = 0.0
    latency: float = 0.0
    digest: str = ""
    served_at: float = 0.0
    served_digest: str = ""


class Targets:
    """The states of all targets."""

    def __init__(self, redis: RedisClient) -> None:
        self.redis = redis
        self.keys = Keys(redis.namespace)

    async def read(self, target: str) -> TargetState:
        """What is known of a target."""
        found = await self.redis.do("HGETALL", self._key(target))
        pairs: dict[str, Any] = dict(found)
        return TargetState(
            paused=pairs.get("paused"),
            paused_at=float(pairs.get("paused_at", 0)),
            wait_until=float(pairs.get("wait_until", 0)),
            faults=int(pairs.get("faults", 0)),
            error=pairs.get("error", ""),
            error_at=float(pairs.get("error_at", 0)),
            answered_at=float(pairs.get("answered_at", 0)),
            latency=float(pairs.get("latency", 0)),
            digest=pairs.get("digest", ""),
            served_at=float(pairs.get("served_at", 0)),
            served_digest=pairs.get("served_digest", ""),
        )

    async def answered(self, target: str, at: float, latency: float) -> None:
        """It gave a good answer: its faults are over.

        A wait stays: it lasts still only if it began after what was answered here, such as for a Retry-After.
        """
        await self.redis.do("HSET", self._key(target), "answered_at", at, "latency", latency, "faults", 0)

    async def served(self, target: str, digest: str, at: float) -> None:
        """A worker brings tickets to it, with settings of this digest."""
        await self.redis.do("HSET", self._key(target), "served_at", at, "served_digest", digest)

    async def failed(self, target: str, error: str, at: float) -> int:
        """It failed; answers how many times in a row. `wait` says for how long nothing is sent."""
        faults = int(await self.redis.do("HINCRBY", self._key(target), "faults", 1))
        await self.redis.do("HSET", self._key(target), "error", encodable(error), "error_at", at)
        return faults

    async def wait(self, target: str, until: float) -> None:
        """Send nothing until then."""
        await self.redis.do("HSET", self._key(target), "wait_until", until)

    async def pause(self, target: str, reason: str, at: float) -> None:
        """A person pauses it."""
        await self.redis.do("HSET", self._key(target), "paused", encodable(reason), "paused_at", at)

    async def resume(self, target: str) -> None:
        """A person has it go on: pauses after faults end too."""
        await self.redis.do(
            "HDEL", self._key(target), "paused", "paused_at", "wait_until", "faults", "error", "error_at"
        )

    async def set_digest(self, target: str, digest: str) -> None:
        """Remember the digest of its settings, once what their change asks for is done."""
        await self.redis.do("HSET", self._key(target), "digest", digest)

    async def lost(self, target: str, targets: Iterable[str], at: float) -> bool:
        """Whether Redis has lost what sync knew, and *target* was not looked after since; *targets* are all that there are."""
        key = self.keys.sync_memory
        if await self.redis.do("HSETNX", key, "since", at):
            await self.redis.do("HSET", key, *(part for name in targets for part in (f"lost:{name}", 1)))
        return bool(await self.redis.do("HEXISTS", key, f"lost:{target}"))

    async def found(self, target: str) -> None:
        """The events of a target that were applied before Redis lost them are followed again."""
        await self.redis.do("HDEL", self.keys.sync_memory, f"lost:{target}")

    async def pay(self, target: str, per_minute: int) -> float:
        """Take one request out of the target's budget; answers for how many seconds to wait before it is sent."""
        wait = await self.redis.run(scripts.SYNC_PAY, [self.keys.target(target, "budget")], [per_minute])
        return int(wait) / 1e6

    def _key(self, target: str) -> str:
        return self.keys.target(target, "state")
