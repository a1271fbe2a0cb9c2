"""Which tickets are due at a target of sync, and who brings them there.

In: marks (changes, audits, people). Out: claims, which end by themselves if their process dies. Scripts decide, by Redis's clock.
Every method raises RedisUnavailable when Redis does not take its command.
"""

from collections.abc import Collection
from dataclasses import dataclass

from server.errors import LeaseLost
from server.model import SiteId, TicketId
from server.redis.client import RedisClient
from server.store import scripts
from server.store.keys import Keys
from server.store.timing import micros, seconds

LASTS = 35.0
"""Seconds that a claim lasts, from when it was given or extended."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A ticket that this process brings to a target, until its lease ends (microseconds, by Redis's clock)."""

    site: SiteId
    target: str
    ticket: TicketId
    lease: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many tickets of a site are due at a target now, and for how many seconds the oldest has been: None = none is."""

    due: int
    oldest: float | None


class Due:
    """The due tickets of all sites and targets."""

    def __init__(self, redis: RedisClient) -> None:
        self.redis = redis
        self.keys = Keys(redis.namespace)

    async def mark(self, site: SiteId, target: str, tickets: Collection[TicketId], after: float = 0.0) -> int:
        """Make tickets due, *after* so many seconds unless they are due before; answers how many are due earlier now."""
        if not tickets:
            return 0
        keys = [self.keys.sync(site, target, "due")]
        return int(await self.redis.run(scripts.SYNC_MARK, keys, [micros(after), *tickets]))

    async def wait(self, site: SiteId, target: str) -> float | None:
        """Seconds until something is due, 0 if it is; None where nothing ever is before it is marked."""
        kind, value = await self._claim(site, target, "", look=True)
        return 0.0 if kind == "due" else None if int(value) < 0 else seconds(int(value))

    async def claim(self, site: SiteId, target: str, ticket: TicketId | None = None) -> Claimed | None:
        """Claim the ticket that is longest due, or a certain one; None where there is none, or another process has it."""
        kind, *rest = await self._claim(site, target, ticket or "", look=False)
        return Claimed(site, target, TicketId(rest[0]), int(rest[1])) if kind == "claimed" else None

    async def extend(self, claimed: Claimed) -> Claimed:
        """Hold a claim for `LASTS` seconds from now; raises LeaseLost where another process has it."""
        lease = await self._settle(claimed, "extend", micros(LASTS))
        if not lease:
            raise LeaseLost(f"another process brings ticket {claimed.ticket} to {claimed.target} now")
        return Claimed(claimed.site, claimed.target, claimed.ticket, lease)

    async def settle(self, claimed: Claimed, again: float | None = None) -> bool:
        """End a claim: the ticket is due *again* in so many seconds, or before if it was marked meanwhile.

        *again* None = not before it is marked. Answers whether this process still had it.
        """
        return bool(await self._settle(claimed, "done", -1 if again is None else micros(again)))

    async def backlog(self, site: SiteId, target: str) -> Backlog:
        """What is due now."""
        now, micro = await self.redis.do("TIME")
        at = int(now) * 1_000_000 + int(micro)
        count, since = 0, float(at)
        # A ticket whose lease has ended is due too: its process died.
        for key in self._keys(site, target):
            count += int(await self.redis.do("ZCOUNT", key, "-inf", at))
            for _, score in await self.redis.do("ZRANGE", key, 0, 0, "WITHSCORES"):
                since = min(since, float(score))
        return Backlog(count, seconds(at - since) if count else None)

    async def _claim(self, site: SiteId, target: str, ticket: str, *, look: bool) -> list[str]:
        found: list[str] = await self.redis.run(
            scripts.SYNC_CLAIM, self._keys(site, target), [ticket, micros(LASTS), int(look)]
        )
        return found

    async def _settle(self, claimed: Claimed, how: str, lasts: int) -> int:
        return int(
            await self.redis.run(
                scripts.SYNC_SETTLE,
                self._keys(claimed.site, claimed.target),
                [claimed.ticket, claimed.lease, how, lasts],
            )
        )

    def _keys(self, site: SiteId, target: str) -> list[str]:
        return [self.keys.sync(site, target, name) for name in ("due", "leased")]
