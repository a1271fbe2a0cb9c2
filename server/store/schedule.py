"""The schedule: when each ticket is due to be read again, and whether Wix may be called now.

In: hints (mark), viewers (watch), ends of reads (settle). Out: lots of tickets to read (claim), permission for one more call (spend),
and to viewers what is stored of their tickets (watch). Scripts in Redis make every decision, by Redis's clock, so any number of
processes may ask; this module only passes their arguments and answers. It never calls Wix, and decides nothing by a number of tickets.
"""

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from server import logs
from server.counter import CONTRACT, Rules
from server.errors import RedisUnavailable
from server.model import EventId, Hint, Pace, SiteId, SiteOrigin, TicketId, UnreportedFalls, WatchedSite, WatchedTicket
from server.redis.client import RedisClient
from server.store import scripts
from server.store.budget import LONGEST_PAUSE, Budget, Priority, Wait
from server.store.claims import LISTING, EventLot, Listing, Lot, NextRead, read_again
from server.store.keys import Keys
from server.store.timing import DAY, TWO_DAYS, Timing, micros, seconds
from server.wire import guid

KEPT_AFTER_REMOVAL = ("reads", "changes", "history")
"""Keys of a site that are kept for two days: an app that is installed again continues the versions and the logs."""

TICKETS = ("due", "hinted", "watched")
EVENTS = ("events_due", "events_hinted", "events_watched")
"""The sorted sets of a site's schedule: of its tickets, and of its events."""

READ_AT_ONCE = 100
"""Tickets or events for which a reader asks at once: others wait while a script runs."""

log = logs.logger("schedule")


class Schedule:
    """The due times of all sites; *chance* gives numbers in [0, 1) for the jitter of pauses.

    Every method but `try_spend` raises RedisUnavailable when Redis does not take its command.
    """

    def __init__(
        self,
        redis: RedisClient,
        timing: Timing | None = None,
        budget: Budget | None = None,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.redis = redis
        self.keys = Keys(redis.namespace)
        self.timing = timing or Timing()
        self.budget = budget or Budget()
        self._chance = chance

    # -- sites --

    async def add_site(self, site: SiteId, rules: Rules, *, everything: bool, origin: SiteOrigin | None = None) -> None:
        """Add a site, because of *origin* (None: it was known), or change its settings: *everything* = every ticket is tracked.

        If *everything* holds, a change makes the site's listing due, which reads every ticket again.
        """
        keys = [self.keys.key(site, name) for name in ("site", "due", "watched", *KEPT_AFTER_REMOVAL)]
        await self.redis.run(
            scripts.ADD_SITE, keys, [rules.hash, int(everything), self.keys.wake, CONTRACT, origin or ""]
        )
        await self.redis.do("SADD", self.keys.sites, site)

    async def remove_site(self, site: SiteId, *, in_settings_at: str = "") -> bool:
        """Remove a site: it is not read or marked any more, and what is stored of it expires in two days at the latest.

        What sync remembers of it stays, and nothing is written to a target. Where *in_settings_at* is given, only a site that is
        known from settings alone, of which no process has said since then that it stands in them. Tells whether it is removed.
        """
        names = ("site", *TICKETS, "heard", "holds", "claimed", *EVENTS, "shown_watched", "slugs", *KEPT_AFTER_REMOVAL)
        keys = [self.keys.key(site, name) for name in names]
        if not await self.redis.run(scripts.REMOVE_SITE, keys, [TWO_DAYS, in_settings_at]):
            return False
        await self.redis.do("SREM", self.keys.sites, site)
        return True

    async def sites(self) -> frozenset[SiteId]:
        """Every known site; what another program wrote among them is none."""
        return frozenset(SiteId(site) for site in await self.redis.do("SMEMBERS", self.keys.sites) if guid(site))

    async def tracked(self, site: SiteId) -> list[TicketId]:
        """Every ticket that has a due time."""
        return [TicketId(t) for t in await self.redis.do("ZRANGE", self.keys.key(site, "due"), 0, -1) if t != LISTING]

    async def rules(self, site: SiteId) -> str | None:
        """The hash of the rules with which the site was last added; None for an unknown site."""
        found: str | None = await self.redis.do("HGET", self.keys.key(site, "site"), "rules")
        return found

    async def was_removed(self, site: SiteId) -> bool:
        """Whether an unknown site was removed in the last two days, and not lost by Redis: its budget is kept then."""
        return bool(await self.redis.do("EXISTS", self.keys.key(site, "reads")))

    # -- hints and viewers --

    async def mark(self, site: SiteId, hint: Hint, webhook: str = "") -> int | None:
        """Make tickets due by a hint, in one round trip; the type of the *webhook* that gave it is stored too.

        Answers how many of them are tracked, and so are marked; None for an unknown site. Logs the first webhook of a site.
        """
        names = ("site", *TICKETS, "heard", "holds", f"event:{hint.event or '-'}", *EVENTS, "shown_watched")
        keys = [self.keys.key(site, name) for name in names]
        fixed: list[str | int] = [webhook, hint.named, micros(DAY), hint.hold_ends_us or 0, self.keys.wake]
        fixed += [hint.event or "", int(hint.of_event and hint.event is not None)]
        taken, _, first = await self.redis.run(scripts.MARK, keys, [*fixed, *hint.tickets])
        if first:
            log.info("first_webhook", site=site, type=webhook)
        return None if taken < 0 else int(taken)

    async def unreported_falls(self, site: SiteId) -> UnreportedFalls | None:
        """The falls of a site's stock that no webhook reported, if the site is silent; else None, as for an unknown site."""
        known = await self.watch(site, ())
        return None if known is None else known.unreported_falls

    async def watch(self, site: SiteId, tickets: Sequence[TicketId], *, counters: bool = False) -> WatchedSite | None:
        """Keep these tickets fresh for their viewers, and answer what is stored of them; None for an unknown site.

        With *counters*, the answer has the counter of each ticket.
        """
        timing = self.timing
        keys = [
            self.keys.key(site, name) for name in ("site", "due", "watched", "heard", "events_due", "events_watched")
        ]
        keys += [self.keys.key(site, "ticket", ticket) for ticket in tickets]
        fixed: list[str | float] = [
            micros(timing.watch_for),
            micros(timing.watch_every),
            micros(timing.watch_slow),
            self.budget.watching,
            self.budget.first_reads,
            micros(timing.lease),
            int(counters),
            self.keys.wake,
        ]
        if (answer := await self.redis.run(scripts.WATCH, keys, [*fixed, *tickets])) is None:
            return None
        (site_rules, falls, lasted, heard), *stored = answer
        silent = falls >= timing.silent_falls and int(lasted) >= micros(timing.silent_after)
        return WatchedSite(
            site_rules,
            UnreportedFalls(falls, seconds(int(lasted)), int(heard) or None) if silent else None,
            _stored(tickets, stored),
        )

    async def stored(self, site: SiteId, tickets: Sequence[TicketId]) -> tuple[WatchedTicket, ...]:
        """What is stored of these tickets, with their counters, which keeps none of them fresh; nothing of one never there."""
        keys = [self.keys.key(site, "ticket", ticket) for ticket in tickets]
        return _stored(tickets, await self.redis.run(scripts.STORED, keys, [])) if keys else ()

    # -- reads --

    async def claim(self, site: SiteId, rules: Rules) -> Lot | EventLot | Listing | Wait:
        """Claim what one Wix query can read now, for a worker with these rules; or answer how long to wait."""
        timing, budget = self.timing, self.budget
        kind, *rest = await self.redis.run(
            scripts.CLAIM,
            [self.keys.key(site, name) for name in ("site", *TICKETS, "reads", "claimed", *EVENTS)],
            [
                budget.capacity,
                budget.refill,
                micros(timing.lease),
                micros(LONGEST_PAUSE),
                micros(timing.read_gap),
                micros(1 / budget.watching),
                rules.hash,
                budget.no_gap_from,
            ],
        )
        match kind:
            case "read":
                version, lease, priority, *tickets = rest
                return Lot(site, int(version), int(lease), Priority(priority), tuple(TicketId(t) for t in tickets))
            case "events":
                version, lease, priority, *events = rest
                return EventLot(site, int(version), int(lease), Priority(priority), tuple(EventId(e) for e in events))
            case "list":
                return Listing(site, int(rest[0]))
            case _:
                return Wait(seconds(rest[0]), other_rules=kind == "other_rules")

    async def spend(self, site: SiteId, priority: Priority) -> int | Wait:
        """Pay for one call to Wix that is not the query of a lot; answers its version, or how long to wait."""
        kind, value = await self.redis.run(
            scripts.SPEND,
            [self.keys.key(site, "site"), self.keys.key(site, "due"), self.keys.key(site, "reads")],
            [self.budget.capacity, self.budget.refill, micros(self.timing.lease), micros(LONGEST_PAUSE), priority],
        )
        return int(value) if kind == "go" else Wait(seconds(value))

    async def try_spend(self, site: SiteId, priority: Priority) -> bool:
        """Pay for a second call, with a new token; False if the budget has none, and while Redis is unavailable."""
        try:
            return not isinstance(await self.spend(site, priority), Wait)
        except RedisUnavailable:
            return False

    async def settle(self, lot: Lot, found: Sequence[NextRead]) -> None:
        """A lot was read: give each ticket its next due time."""
        await self._settle(lot.site, "good", lot.version, lot.lease, found)

    async def settle_events(self, lot: EventLot, unread: Collection[EventId] = ()) -> None:
        """A lot of events was read, but for those *unread*, which are due again in a moment: give each its next due time."""
        await self._settle_events(lot, "events", unread)

    async def release(self, claim: Lot | EventLot | Listing) -> None:
        """A claim was not read: its tickets, its events or the listing are due again."""
        if isinstance(claim, Listing):
            await self._extend(claim, "back")
        elif isinstance(claim, EventLot):
            await self._settle_events(claim, "none", claim.events)
        else:
            await self._settle(claim.site, "none", claim.version, claim.lease, read_again(claim.tickets))

    async def pause(self, site: SiteId, lot: Lot | None, retry_after: float | None, fault: str = "") -> float:
        """Wix failed: pause the site, make the lot due again. Answers the seconds of the pause.

        *retry_after* is how many seconds Wix asked for; None = it named no time. *fault* is kept for people (wix_faults.py).
        """
        version, lease, tickets = (lot.version, lot.lease, lot.tickets) if lot else (0, 0, ())
        found = [NextRead(ticket, Pace.LIVE) for ticket in tickets]
        return await self._settle(site, "fault", version, lease, found, retry_after=retry_after, fault=fault)

    async def ended(self, site: SiteId, version: int, *, good: bool) -> None:
        """A call that `spend` paid for, and that read no ticket, has ended: after a fault the next call may try."""
        await self._settle(site, "events" if good else "none", version, 0, ())

    async def track(self, site: SiteId, version: int, found: Sequence[NextRead]) -> None:
        """A page of a listing was read: give a due time to those tickets that had none."""
        await self._settle(site, "good", version, 0, found)

    async def extend(self, listing: Listing) -> Listing | None:
        """Extend the lease of a listing; None if it was made due meanwhile, or claimed by another worker."""
        return await self._extend(listing, "on")

    async def listing_done(self, listing: Listing, *, complete: bool = True) -> None:
        """A listing has ended: the next one is due in `Timing.list_every`. *complete* = each ticket of it is stored now."""
        await self._extend(listing, "done" if complete else "partly")

    async def listing_failed(self, listing: Listing) -> None:
        """Wix failed during a listing: it is due again soon, and later with each failure in a row."""
        await self._extend(listing, "fault")

    async def heard(self, site: SiteId) -> Mapping[str, str]:
        """When each webhook type came last, and how often it came: the fields of `heard` (store/__init__.py)."""
        return dict(await self.redis.do("HGETALL", self.keys.key(site, "heard")))

    async def _extend(self, listing: Listing, how: str) -> Listing | None:
        keys = [self.keys.key(listing.site, name) for name in ("site", "due", "reads")]
        args: list[str | int] = [listing.lease, how, micros(self.timing.lease), micros(self.timing.list_every)]
        extended, at = await self.redis.run(scripts.EXTEND, keys, args)
        return Listing(listing.site, int(at)) if extended and at else None

    async def _settle_events(self, lot: EventLot, outcome: str, again: Collection[EventId]) -> None:
        found = [NextRead(TicketId(event), Pace.LIVE, again=event in again) for event in lot.events]
        await self._settle(lot.site, outcome, lot.version, lot.lease, found, due=EVENTS)

    async def _settle(
        self,
        site: SiteId,
        outcome: str,
        version: int,
        lease: int,
        found: Sequence[NextRead],
        *,
        retry_after: float | None = None,
        fault: str = "",
        due: Sequence[str] = TICKETS,
    ) -> float:
        timing = self.timing
        paused = await self.redis.run(
            scripts.SETTLE,
            [self.keys.key(site, name) for name in ("site", *due, "reads", "holds")],
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
                fault,
                *(argument for one in found for argument in one.arguments()),
            ],
        )
        return seconds(paused)


def _stored(tickets: Sequence[TicketId], answer: Sequence[Sequence[Any]]) -> tuple[WatchedTicket, ...]:
    """What a script answered of each ticket."""
    return tuple(
        WatchedTicket(ticket, int(v) if v else None, seconds(int(age)), rules, counter or None)
        for ticket, (v, age, rules, counter) in zip(tickets, answer, strict=True)
    )
