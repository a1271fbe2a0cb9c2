"""The schedule: which ticket is due to be re-read when, and whether Wix may be called now.

In: hints (mark), viewers (watch), ends of reads (settle). Out: lots of tickets to read (claim), leave for one more
call (spend). Every decision is made by a script in Redis on Redis's clock, so any number of processes may ask; here
are only their arguments and answers. It never calls Wix and never sees a count.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from server.model import (
    EventId,
    Hint,
    Pace,
    Rules,
    SiteId,
    TicketId,
    UnreportedFalls,
    WatchedSite,
    WatchedTicket,
)
from server.redis.client import RedisClient
from server.store import scripts
from server.store.budget import LONGEST_PAUSE, Budget, Priority, Wait
from server.store.keys import SITES, WAKE, key
from server.store.timing import Timing, micros, seconds

LISTING = "*"
"""The member of a site's schedule that stands for listing all its tickets."""

OUTLIVES = ("reads", "changes", "history")
"""What a site leaves for two days: an app that is installed again goes on with newer versions, in the same logs."""

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Lot:
    """Leased tickets: read them with one query that begins now, under this version."""

    site: SiteId
    version: int
    lease: int
    reason: Priority
    tickets: tuple[TicketId, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """All tickets of this site are to be listed; no other worker will before the lease ends."""

    site: SiteId
    lease: int


@dataclass(frozen=True, slots=True)
class Next:
    """What a read found of one ticket, as far as its next due time goes; `again` = it was missing, look once more."""

    ticket: TicketId
    pace: Pace
    start_us: int | None = None
    end_us: int | None = None
    again: bool = False


def look_again(tickets: Sequence[TicketId]) -> list[Next]:
    """These were missing, or nobody knows: each is due again in a moment."""
    return [Next(ticket, Pace.LIVE, again=True) for ticket in tickets]


class Schedule:
    """The due times of all sites. Every method raises RedisUnavailable when Redis does not take it."""

    def __init__(
        self,
        redis: RedisClient,
        timing: Timing | None = None,
        budget: Budget | None = None,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.redis = redis
        self.timing = timing or Timing()
        self.budget = budget or Budget()
        self._chance = chance

    # -- sites --

    async def add_site(self, site: SiteId, rules: Rules, *, everything: bool) -> None:
        """Take a site on: everything = every ticket is wanted, watched or not.

        New rules, or `everything` switched on, make the site's listing due, which keeps every ticket anew.
        """
        keys = [key(site, name) for name in ("site", "due", *OUTLIVES)]
        await self.redis.run(scripts.ADD_SITE, keys, [rules.hash, int(everything), WAKE])
        await self.redis.do("SADD", SITES, site)

    async def remove_site(self, site: SiteId) -> None:
        """Let a site go: nothing of it is read or marked again, and what is stored expires in two days."""
        keys = [key(site, name) for name in ("site", "due", "hinted", "watched", "heard", "holds", *OUTLIVES)]
        await self.redis.run(scripts.REMOVE_SITE, keys, [int(2 * DAY)])
        await self.redis.do("SREM", SITES, site)

    async def sites(self) -> frozenset[SiteId]:
        """Every site that is known."""
        return frozenset(SiteId(site) for site in await self.redis.do("SMEMBERS", SITES))

    async def tracked(self, site: SiteId) -> list[TicketId]:
        """Every ticket that has a due time."""
        return [TicketId(t) for t in await self.redis.do("ZRANGE", key(site, "due"), 0, -1) if t != LISTING]

    async def rules(self, site: SiteId) -> str | None:
        """The hash of the rules under which the site was last taken on; None for an unknown site."""
        found: str | None = await self.redis.do("HGET", key(site, "site"), "rules")
        return found

    async def was_let_go(self, site: SiteId) -> bool:
        """Whether a site that is not known was forgotten of late, and not lost: its budget outlives it by two days."""
        return bool(await self.redis.do("EXISTS", key(site, "reads")))

    # -- hints and viewers --

    async def mark(self, site: SiteId, hint: Hint, webhook: str = "") -> int | None:
        """Make tickets due by a hint, in one round trip; the type of the *webhook* that gave it is stored too.

        Answers how many of them are tracked, and so are marked; None for an unknown site.
        """
        keys = [key(site, name) for name in ("site", "due", "hinted", "watched", "heard", "holds")]
        keys.append(key(site, "event", hint.event or EventId("-")))
        fixed: list[str | int] = [webhook, hint.named, micros(DAY), hint.hold_ends_us or 0, WAKE]
        taken, _ = await self.redis.run(scripts.MARK, keys, [*fixed, *hint.tickets])
        return None if taken < 0 else int(taken)

    async def unreported_falls(self, site: SiteId) -> UnreportedFalls | None:
        """How the stock of a site falls without any webhook; None where it does not, and for an unknown site."""
        known = await self.watch(site, ())
        return None if known is None else known.unreported_falls

    async def watch(self, site: SiteId, tickets: Sequence[TicketId], *, counters: bool = False) -> WatchedSite | None:
        """Say that somebody looks at these tickets, and learn what is stored of them; None for an unknown site."""
        timing = self.timing
        keys = [key(site, name) for name in ("site", "due", "watched", "heard")]
        keys += [key(site, "ticket", ticket) for ticket in tickets]
        fixed: list[str | float] = [
            micros(timing.watch_for),
            micros(timing.watch_every),
            micros(timing.watch_slow),
            self.budget.watching,
            self.budget.first_reads,
            micros(timing.lease),
            int(counters),
            WAKE,
        ]
        answer = await self.redis.run(scripts.WATCH, keys, [*fixed, *tickets])
        if answer is None:
            return None
        (its_rules, falls, lasted, heard), *each = answer
        silent = falls >= timing.silent_falls and int(lasted) >= micros(timing.silent_after)
        return WatchedSite(
            its_rules,
            UnreportedFalls(falls, seconds(int(lasted)), int(heard) or None) if silent else None,
            tuple(
                WatchedTicket(ticket, int(v) if v else None, seconds(int(age)), rules, counter or None)
                for ticket, (v, age, rules, counter) in zip(tickets, each, strict=True)
            ),
        )

    # -- reads --

    async def claim(self, site: SiteId, rules: Rules) -> Lot | Listing | Wait:
        """Lease what one Wix query can read now for a worker with these rules, or say how long there is nothing to do."""
        timing, budget = self.timing, self.budget
        kind, *rest = await self.redis.run(
            scripts.CLAIM,
            [key(site, name) for name in ("site", "due", "hinted", "watched", "reads")],
            [
                budget.capacity,
                budget.refill,
                micros(timing.lease),
                micros(LONGEST_PAUSE),
                micros(timing.read_gap),
                micros(1 / budget.watching),
                rules.hash,
            ],
        )
        match kind:
            case "read":
                version, lease, reason, *tickets = rest
                return Lot(site, int(version), int(lease), Priority(reason), tuple(TicketId(t) for t in tickets))
            case "list":
                return Listing(site, int(rest[0]))
            case _:
                return Wait(seconds(rest[0]), other_rules=kind == "other_rules")

    async def spend(self, site: SiteId, class_: Priority) -> int | Wait:
        """Pay for one Wix call that is no claimed read; answers its version."""
        kind, value = await self.redis.run(
            scripts.SPEND,
            [key(site, "site"), key(site, "due"), key(site, "reads")],
            [self.budget.capacity, self.budget.refill, micros(self.timing.lease), micros(LONGEST_PAUSE), class_],
        )
        return int(value) if kind == "go" else Wait(seconds(value))

    async def settle(self, lot: Lot, found: Sequence[Next]) -> None:
        """A read ended well: give each ticket its next due time."""
        await self._settle(lot.site, "good", lot.version, lot.lease, _each(found))

    async def give_back(self, lot: Lot) -> None:
        """A read came to nothing through no fault of Wix: its tickets are due again."""
        await self._settle(lot.site, "none", lot.version, lot.lease, _each(look_again(lot.tickets)))

    async def fault(self, site: SiteId, lot: Lot | None, retry_after: float | None) -> float:
        """Wix failed: pause the site, make the lot due again. Answers the seconds of the pause."""
        version, lease, tickets = (lot.version, lot.lease, lot.tickets) if lot else (0, 0, ())
        each = _each([Next(ticket, Pace.LIVE) for ticket in tickets])
        return await self._settle(site, "fault", version, lease, each, retry_after=retry_after)

    async def track(self, site: SiteId, version: int, found: Sequence[Next]) -> None:
        """A page of a listing was read well: give a due time to those tickets that had none."""
        await self._settle(site, "good", version, 0, _each(found))

    async def extend(self, listing: Listing) -> Listing | None:
        """A listing goes on: the same under its new lease, or None when it was asked for anew or is another's."""
        return await self._extend(listing, "on")

    async def listed(self, listing: Listing) -> None:
        """A listing has come to its end: the next one is due in its turn."""
        await self._extend(listing, "done")

    async def list_again(self, listing: Listing, *, fault: bool = False) -> None:
        """A listing came to nothing: it is due again, after a fault of Wix not quite at once."""
        await self._extend(listing, "fault" if fault else "back")

    async def heard(self, site: SiteId) -> Mapping[str, str]:
        """When each webhook type came last (`<type>:at`, µs), how often (`<type>:count`); `falls…` as in silence.lua.

        Only tests use it yet: it is for a page that shows which webhooks arrive.
        """
        return dict(await self.redis.do("HGETALL", key(site, "heard")))

    async def _extend(self, listing: Listing, how: str) -> Listing | None:
        ours, at = await self.redis.run(
            scripts.EXTEND,
            [key(listing.site, name) for name in ("site", "due", "reads")],
            [listing.lease, how, micros(self.timing.lease), micros(self.timing.list_every)],
        )
        return Listing(listing.site, int(at)) if ours and at else None

    async def _settle(
        self,
        site: SiteId,
        outcome: str,
        version: int,
        lease: int,
        each: Sequence[str | int],
        *,
        retry_after: float | None = None,
    ) -> float:
        timing = self.timing
        paused = await self.redis.run(
            scripts.SETTLE,
            [key(site, name) for name in ("site", "due", "hinted", "watched", "reads", "holds")],
            [
                version,
                lease,
                outcome,
                -1 if retry_after is None else micros(retry_after),
                self._chance(),
                micros(timing.watch_every),
                micros(timing.watch_slow),
                micros(timing.reconcile),
                micros(timing.again),
                *(micros(step) for step in timing.settle),
                self.budget.watching,
                micros(LONGEST_PAUSE),
                *each,
            ],
        )
        return seconds(paused)


def _each(found: Sequence[Next]) -> list[str | int]:
    each: list[str | int] = []
    for one in found:
        start = "" if one.start_us is None else one.start_us
        end = "" if one.end_us is None else one.end_us
        each += [one.ticket, "again" if one.again else one.pace, start, end]
    return each
