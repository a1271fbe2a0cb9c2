"""The outbox of one campaign on one channel: a row for each recipient, claimed before the message is sent, marked after.

In: rows, by the keyed hash of an address, and what came of each try. Out: what may be claimed, and counts that add up. A crash
errs towards *not twice*: what was claimed and has no reply is unknown, is counted, and is never claimed again. Every method raises
RedisUnavailable when Redis does not take its command. Times are in seconds since 1970, by Redis's clock.
"""

import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from uuid import uuid4

from server.campaign import Campaign, ChannelName, Counts, Progress, RowState, Skip, State
from server.errors import LeaseLost
from server.redis.client import RedisClient, Script
from server.store import scripts
from server.store.keys import Keys
from server.wire import encodable

LEASE = 10.0
"""Seconds that a lease lasts after it was taken or extended."""
MOST_ATTEMPTS = 5
"""A row whose tries came to `waiting` so often is failed."""
LONGEST_REASON = 200
"""Characters of a reason."""
REASON = "reason:"


class Claim(StrEnum):
    """Whether a message may be handed over now."""

    CLAIMED = "claimed"
    SUPPRESSED = "suppressed"  # the row is skipped
    ENDED = "ended"  # it has a row already
    NOT_YET = "not yet"  # its row waits for a later try
    STOPPED = "stopped"
    TOO_LATE = "too late"
    LEASE_LOST = "lease lost"


class Outbox:
    """The rows of *campaign* on *channel*, for one *worker*: a token that no other has, without spaces."""

    def __init__(
        self, redis: RedisClient, campaign: Campaign, channel: ChannelName, worker: str, *, lease: float = LEASE
    ) -> None:
        self.redis = redis
        self.campaign = campaign
        self.channel = channel
        self.worker = worker
        self.lease = lease
        keys = Keys(redis.namespace)
        site, name = campaign.site, campaign.name
        kinds = ("run", "rows", "claimed", "waiting", "unknown", "lease")
        self._keys = {kind: keys.notify(site, kind, name, channel) for kind in kinds}
        self._all = [keys.notify(site, "campaign", name), *self._keys.values()]
        self._suppressed = [keys.notify(site, "suppressed"), keys.notify(site, "suppression_keys")]

    # -- the lease --

    async def take(self) -> bool:
        """Take the lease, if no other worker holds it; what others have claimed becomes unknown in the same step."""
        return await self._ask("take")

    async def extend(self) -> None:
        """Hold the lease for as long again; raises LeaseLost where another has it, or may have."""
        began = time.monotonic()
        if not await self._ask("extend") or time.monotonic() - began > self.lease / 3:
            raise LeaseLost(f"another worker runs {self.campaign.name} now, since this one did not for too long")

    async def release(self) -> None:
        """Give the lease back; what this worker has claimed and not marked becomes unknown."""
        await self._ask("release")

    # -- rows --

    async def new(self, rows: Sequence[str]) -> set[str]:
        """Those of some rows that may be claimed now: there is none yet, or it waits and is due."""
        if not rows:
            return set()
        keys = [self._keys["rows"], self._keys["waiting"]]
        return set(await self.redis.run(scripts.NOTIFY_NEW, keys, rows))

    async def begin(self) -> None:
        """A first message is about to go out: from now on no ticket joins the campaign. Nothing is done without the lease."""
        await self.redis.run(scripts.NOTIFY_BEGIN, [self._keys["run"], self._keys["lease"]], [self.worker])

    async def claim(self, row: str, suppressions: Sequence[str]) -> Claim:
        """Claim a row just before its message is handed over; *suppressions*: the hashes under which its address may be suppressed."""
        args = [self.worker, row, *suppressions]
        return Claim(await self.redis.run(scripts.NOTIFY_CLAIM, [*self._all, *self._suppressed], args))

    async def mark(
        self, row: str, state: RowState, reason: str = "", *, next_try: float | None = None, counts: bool = True
    ) -> None:
        """What became of a row that this worker has claimed.

        A row that another worker has marked as unknown meanwhile may still be sent or failed. One that waits is tried from *next_try*
        on (None = at once), and is failed after `MOST_ATTEMPTS` that have *counts*: those for which the server was not at fault.
        """
        when = "" if next_try is None else repr(next_try)
        args: list[str | int] = [self.worker, row, state, _reason(reason), when, MOST_ATTEMPTS, int(counts)]
        await self._run(scripts.NOTIFY_MARK, *args)

    async def skip(self, row: str, reason: Skip) -> None:
        """This recipient gets nothing; a row that is claimed, or has ended, stays as it is."""
        await self._run(scripts.NOTIFY_SKIP, self.worker, row, reason)

    async def waiting(self) -> Mapping[str, float]:
        """Each row that waits, with the time of its next try, the earliest first."""
        found = await self.redis.do("ZRANGE", self._keys["waiting"], 0, -1, "WITHSCORES")
        return {row: float(next_try) for row, next_try in found}

    async def attempts(self, row: str) -> int:
        """How often a row was tried, of those times that counted; 0 where there is no such row."""
        found = await self.redis.do("HGET", self._keys["rows"], row)
        return int(found.split(" ", 2)[1]) if found else 0

    async def unknown(self, limit: int = 1000) -> list[str]:
        """Rows that were handed over and not answered."""
        return sorted(await self.redis.do("SMEMBERS", self._keys["unknown"]))[:limit]

    async def has(self, row: str) -> bool:
        """Whether there is such a row."""
        return bool(await self.redis.do("HEXISTS", self._keys["rows"], row))

    async def forget(self, row: str) -> bool:
        """Forget whose this row is, of a campaign that is over; answers whether there was one. What is counted stays as it is."""
        keys = [self._keys["rows"], self._keys["unknown"]]
        return bool(await self.redis.run(scripts.NOTIFY_FORGET, keys, [row, f"forgotten-{uuid4().hex}"]))

    # -- the run --

    async def is_held(self) -> bool:
        """Whether a worker holds the lease."""
        return bool(await self.redis.do("EXISTS", self._keys["lease"]))

    async def progress(self) -> Progress:
        """How far the campaign is on this channel; all numbers are of the same moment."""
        keys = [self._keys[kind] for kind in ("run", "rows", "waiting")]
        run, rows, first = await self.redis.run(scripts.NOTIFY_PROGRESS, keys, [])
        return _progress(self.channel, dict(zip(run[::2], run[1::2], strict=True)), int(rows), first)

    async def note(self, state: State, note: str = "", *, total: int | None = None, passes: int | None = None) -> None:
        """It has come so far; None leaves a number as it is. Raises LeaseLost."""
        await self._note("note", state, note, {"total": total, "passes": passes})

    async def finish(self, state: State, note: str = "") -> bool:
        """It ends; False where it is not done, since a row is claimed or waits, or has no end. Raises LeaseLost."""
        return await self._note("finish", state, note, {})

    async def _note(self, how: str, state: State, note: str, numbers: Mapping[str, int | None]) -> bool:
        pairs = [str(part) for pair in numbers.items() if pair[1] is not None for part in pair]
        answer = await self._run(scripts.NOTIFY_NOTE, self.worker, how, state, encodable(note), *pairs)
        if answer < 0:
            raise LeaseLost(f"another worker runs {self.campaign.name} now, since this one did not for too long")
        return bool(answer)

    async def _ask(self, how: str) -> bool:
        return bool(await self._run(scripts.NOTIFY_LEASE, how, self.worker, round(self.lease * 1000)))

    async def _run(self, script: Script, *args: str | float) -> int:
        return int(await self.redis.run(script, self._all, args))


def _reason(text: str) -> str:
    return encodable(text)[:LONGEST_REASON]


def _progress(channel: ChannelName, run: Mapping[str, str], rows: int, first: Sequence[str]) -> Progress:
    reasons = {}
    for name, number in run.items():
        if name.startswith(REASON):
            state, _, reason = name.removeprefix(REASON).partition(":")
            reasons[RowState(state), reason] = int(number)
    # A row tells that messages go out before the worker notes it.
    state = State(run.get("state", State.GATHERING))
    return Progress(
        channel=channel,
        state=State.SENDING if rows and state is State.GATHERING else state,
        counts=Counts(rows, **{state.value: int(run.get(state, 0)) for state in RowState}),
        total=int(run["total"]) if "total" in run else None,
        passes=int(run.get("passes", 0)),
        started_at=float(run["started_at"]) if "started_at" in run else None,
        ended_at=float(run["ended_at"]) if "ended_at" in run else None,
        note=run.get("note", ""),
        reasons=reasons,
        next_try=float(first[1]) if first else None,
    )
