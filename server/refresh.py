"""Refresh: due tickets, one Wix query for up to 100 of a site, snapshots.

In: the schedules of all known sites. Out: kept snapshots, and each ticket's next due time. One task a site claims;
each claimed lot is read by a task of its own, at most two a site and sixteen in the process (less than httpx's
pool). A call is never cancelled: `stop` lets what is in flight end.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from server import logs, metrics
from server.errors import Malformed, NotThere, StoreUnavailable, TicketCounterError, WixRefused, WixUnavailable
from server.keys import WAKE
from server.model import Definition, Hint, Pace, SiteId, TicketId
from server.reminder import Reminder
from server.schedule import Class, Listing, Lot, Next, Wait, look_again
from server.silence import Silence
from server.sites import Sites
from server.snapshots import Finding, Kept, Snapshots
from server.store.client import Store
from server.store.listener import Listener
from server.wix import deadline
from server.wix.client import Answer, App, Wix

SLOTS = 16
SLOTS_A_SITE = 2
LOOK = 1.0
"""Seconds between two looks at a schedule when nothing wakes us: a lost wake costs no more."""
LOOK_EVERY = 5.0
"""Seconds between two looks at which sites there are."""
READ_WITHIN = 0.8
"""The part of a lease in which all calls of a lot end: the budget counts on none of them coming to Wix after it."""

log = logs.logger("refresh")


@dataclass(frozen=True, slots=True)
class _Page:
    """The call for one page of a listing: paid under this version, and when that was asked for (time.monotonic())."""

    version: int
    asked: float


class Refresh:
    """The reader of all sites of one worker process."""

    def __init__(
        self, store: Store, sites: Sites, snapshots: Snapshots, wix: Wix, *, look_every: float = LOOK_EVERY
    ) -> None:
        self.store = store
        self.sites = sites
        self.schedule = sites.schedule
        self.snapshots = snapshots
        self.wix = wix
        self._slots = asyncio.Semaphore(SLOTS)
        self._stopping = asyncio.Event()
        self._woken: dict[SiteId, asyncio.Event] = {}
        self._look_every = look_every
        self._silence = Silence(self.schedule, expected=isinstance(wix.credentials, App))
        self._away = Reminder(log, "store_unavailable")

    async def run(self) -> None:
        """Read until `stop`; ends when the last call in flight has. Raises what no Redis or Wix fault explains."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(), name="refresh: wake")
            following: dict[SiteId, asyncio.Task[None]] = {}
            while not self._stopping.is_set():
                known = await self._known()
                for site in known - following.keys():
                    self._woken[site] = asyncio.Event()
                    following[site] = group.create_task(self._follow(site), name=f"refresh: {site}")
                for site in following.keys() - known:
                    # Its task sees that the site is gone and ends by itself.
                    del following[site]
                    self._woken.pop(site).set()
                await self._pause(self._stopping, self._look_every)

    def stop(self) -> None:
        """Claim nothing more."""
        self._stopping.set()
        for woken in self._woken.values():
            woken.set()

    async def _known(self) -> frozenset[SiteId]:
        """All sites; a Redis that lost some gets them back, and where its list is away those that we remember count."""
        try:
            known = await self.sites.look()
        except StoreUnavailable as error:
            self._away.say("sites", error=str(error))
            return self.sites.known
        self._away.over("sites")
        return known

    async def _listen(self) -> None:
        """Wake the site that a mark names. This only saves waiting, so every fault just starts it anew."""
        while not self._stopping.is_set():
            try:
                async with self.store.listener() as listener:
                    await listener.subscribe_all_nodes(WAKE)
                    await self._hear(listener)
            except StoreUnavailable:
                await self._pause(self._stopping, LOOK)

    async def _hear(self, listener: Listener) -> None:
        while not self._stopping.is_set():
            heard = await listener.hear(LOOK)
            if heard and heard.text and (woken := self._woken.get(SiteId(heard.text))):
                woken.set()

    async def _follow(self, site: SiteId) -> None:
        """Claim what is due of one site, again and again."""
        woken = self._woken[site]
        mine = asyncio.Semaphore(SLOTS_A_SITE)
        async with asyncio.TaskGroup() as reads:
            while not self._stopping.is_set() and self._woken.get(site) is woken:
                await mine.acquire()
                await self._slots.acquire()
                woken.clear()
                asked = time.monotonic()
                try:
                    lot = Wait(0) if self._stopping.is_set() else await self.schedule.claim(site, self.snapshots.rules)
                except StoreUnavailable as error:
                    self._away.say(site, site=site, error=str(error))
                    lot = Wait(LOOK)
                else:
                    self._away.over(site, site=site)
                if isinstance(lot, Wait):
                    self._slots.release()
                    mine.release()
                    if lot.foreign:
                        self.snapshots.differ(site)
                    await self._pause(woken, min(lot.seconds, LOOK))
                    continue
                reads.create_task(self._work(lot, mine, asked))

    async def _work(self, lot: Lot | Listing, mine: asyncio.Semaphore, asked: float) -> None:
        try:
            if isinstance(lot, Listing):
                await self._list(lot)
            else:
                metrics.lots.labels(lot.reason).inc()
                # Since before it was claimed: a process may stand still at any moment, for as long as it pleases others.
                with self._while_it_is_ours(asked):
                    await self.read(lot)
        except StoreUnavailable as error:
            log.warning("store_unavailable", site=lot.site, error=str(error))
            await self._give_back(lot)
        finally:
            self._slots.release()
            mine.release()

    async def _give_back(self, lot: Lot | Listing) -> None:
        """Make due again what could not be kept. Its lease would do the same, but only half a minute later."""
        for _ in range(round(self.schedule.timing.lease / LOOK)):
            try:
                if isinstance(lot, Listing):
                    await self.schedule.list_again(lot)
                else:
                    await self.schedule.give_back(lot)
            except StoreUnavailable:
                await self._pause(self._stopping, LOOK)
            else:
                return

    async def read(self, lot: Lot) -> None:
        """Read a lot, keep what Wix answered, settle every ticket of it."""
        try:
            found = await self._query(lot, lot.tickets)
        except (WixUnavailable, NotThere) as error:
            # A 404 to a query is a wrong address or a gateway, and says nothing of any ticket.
            await self._fault(lot.site, lot, error)
            return
        await self.schedule.settle(lot, found)

    async def _query(self, lot: Lot, tickets: Sequence[TicketId]) -> list[Next]:
        try:
            answer = await self.wix.query(lot.site, tickets, lambda: self._pay(lot.site, lot.reason))
        except WixRefused as error:
            log.warning("query_refused", site=lot.site, tickets=len(tickets), error=str(error))
            if len(tickets) == 1:
                known = await self.snapshots.known(lot.site, tickets)
                return [Next(one.ticket, one.pace) for one in known] or await self._never(lot, tickets)
            # One id that Wix dislikes must not hide the others.
            half = len(tickets) // 2
            found: list[Next] = []
            for part in (tickets[:half], tickets[half:]):
                if await self._paid(lot.site, lot.reason):
                    found += await self._query(lot, part)
                else:
                    found += look_again(part)
            return found
        found = await self._keep(lot.site, lot.version, answer)
        seen = {one.ticket for one in found} | answer.unreadable
        # An unreadable ticket is there, but proves nothing: it stays as it is and is looked at again in its turn.
        found += [Next(ticket, Pace.LIVE) for ticket in tickets if ticket in answer.unreadable]
        missing = [ticket for ticket in tickets if ticket not in seen]
        # Only a full answer proves that something is missing.
        return found + (await self._missing(lot, missing) if answer.next is None else look_again(missing))

    async def _keep(self, site: SiteId, version: int, answer: Answer) -> list[Next]:
        findings = [Finding.of(definition, self.snapshots.rules) for definition in answer.definitions]
        kept = await self._store(site, version, findings)
        return [
            replace(_next(definition), again=Kept.FOREIGN in done)
            for definition, done in zip(answer.definitions, kept, strict=True)
        ]

    async def _store(self, site: SiteId, version: int, findings: Sequence[Finding]) -> list[Kept]:
        kept = await self.snapshots.keep(site, version, version, findings)
        await self._silence.learn(site, kept)
        return kept

    async def _never(self, lot: Lot, tickets: Sequence[TicketId]) -> list[Next]:
        """Wix does not have these and we never did."""
        kept = await self._store(lot.site, lot.version, [Finding.never_there(ticket) for ticket in tickets])
        metrics.missing.labels("never_there").inc(len(tickets))
        return [
            Next(ticket, Pace.NEVER, again=Kept.KEPT not in done) for ticket, done in zip(tickets, kept, strict=True)
        ]

    async def _missing(self, lot: Lot, tickets: Sequence[TicketId]) -> list[Next]:
        """Wix's answer left these out. Only what was never there, or what Wix answers 404 to by itself, is gone."""
        if not tickets:
            return []
        known = {stored.ticket: stored for stored in await self.snapshots.known(lot.site, tickets)}
        found = await self._never(lot, [ticket for ticket in tickets if ticket not in known])
        for ticket, stored in known.items():
            if stored.pace is Pace.DEAD:
                [kept] = await self._store(lot.site, lot.version, [Finding.deleted(ticket, stored.event)])
                found.append(Next(ticket, Pace.DEAD, again=Kept.KEPT not in kept))
            elif not stored.missing:
                metrics.missing.labels("again").inc()
                await self.snapshots.miss(lot.site, ticket)
                found.append(Next(ticket, Pace.LIVE, again=True))
            else:
                found.append(await self._alone(lot, ticket))
        return found

    async def _alone(self, lot: Lot, ticket: TicketId) -> Next:
        """Missing twice: ask for it by itself."""
        version = await self.schedule.spend(lot.site, lot.reason)
        if isinstance(version, Wait):
            return Next(ticket, Pace.LIVE, again=True)
        try:
            definition = await self.wix.get(lot.site, ticket, lambda: self._pay(lot.site, lot.reason))
        except NotThere:
            metrics.missing.labels("deleted").inc()
            event = next((s.event for s in await self.snapshots.known(lot.site, [ticket])), None)
            [kept] = await self._store(lot.site, version, [Finding.deleted(ticket, event)])
            log.info("ticket_deleted", site=lot.site, ticket=ticket)
            return Next(ticket, Pace.DEAD, again=Kept.KEPT not in kept)
        except WixRefused as error:
            log.warning("get_refused", site=lot.site, ticket=ticket, error=str(error))
            return Next(ticket, Pace.LIVE)
        except Malformed as error:
            log.warning("definition_unreadable", site=lot.site, ticket=ticket, error=str(error))
            return Next(ticket, Pace.LIVE)
        metrics.missing.labels("found").inc()
        [found] = await self._keep(lot.site, version, Answer((definition,), frozenset()))
        return found

    async def _list(self, listing: Listing) -> None:
        """Keep every ticket of the site, page by page; mark what is tracked but was not listed."""
        site = listing.site
        listed: set[TicketId] = set()
        cursor, more = None, True
        try:
            while more:
                page, listing = await self._leave(listing)
                if page is None:
                    await self.schedule.list_again(listing)
                    return
                with self._while_it_is_ours(page.asked):
                    answer = await self.wix.page(site, cursor, lambda: self._pay(site, Class.REST))
                found = await self._keep(site, page.version, answer)
                if any(one.again for one in found):
                    # Whoever gave the site other rules has made another listing due.
                    await self.schedule.list_again(listing)
                    return
                await self.schedule.track(site, page.version, found)
                listed |= {one.ticket for one in found} | answer.unreadable
                cursor = answer.next
                more = cursor is not None
            absent = [ticket for ticket in await self.schedule.tracked(site) if ticket not in listed]
            if absent:
                await self.schedule.mark(site, Hint("not_listed", tuple(absent)))
            await self.schedule.listed(listing)
            log.info("site_listed", site=site, tickets=len(listed), absent=len(absent))
        except StoreUnavailable as error:
            log.warning("store_unavailable", site=site, error=str(error))
            await self._give_back(listing)
        except (WixUnavailable, WixRefused, NotThere) as error:
            await self._fault(site, None, error)
            await self.schedule.list_again(listing, fault=True)

    async def _leave(self, listing: Listing) -> tuple[_Page | None, Listing]:
        """Hold a listing until the budget has a call for it; no page when we are to stop or it is no longer ours."""
        while not self._stopping.is_set():
            held = await self.schedule.extend(listing)
            if held is None:
                log.info("listing_left", site=listing.site)
                break
            listing = held
            asked = time.monotonic()
            version = await self.schedule.spend(listing.site, Class.REST)
            if not isinstance(version, Wait):
                return _Page(version, asked), listing
            # A site that may be paused for minutes keeps no other from being read.
            self._slots.release()
            try:
                await self._pause(self._stopping, min(version.seconds, LOOK))
            finally:
                await self._slots.acquire()
        return None, listing

    def _while_it_is_ours(self, asked: float) -> AbstractContextManager[None]:
        """Calls within this block end while what was *asked* for then (time.monotonic()) has its place in the budget."""
        return deadline.within(READ_WITHIN * self.schedule.timing.lease, since=asked)

    async def _paid(self, site: SiteId, reason: Class) -> bool:
        return not isinstance(await self.schedule.spend(site, reason), Wait)

    async def _pay(self, site: SiteId, reason: Class) -> bool:
        try:
            return await self._paid(site, reason)
        except StoreUnavailable:
            return False

    async def _fault(self, site: SiteId, lot: Lot | None, error: TicketCounterError) -> None:
        status = 404 if isinstance(error, NotThere) else getattr(error, "status", 0)
        paused = await self.schedule.fault(site, lot, getattr(error, "retry_after", None))
        metrics.pauses.labels(str(status)).inc()
        log.warning("wix_fault", site=site, status=status, error=str(error), paused=round(paused, 3))

    @staticmethod
    async def _pause(event: asyncio.Event, seconds: float) -> None:
        """Wait for the event, but not for longer than so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass


def _next(definition: Definition) -> Next:
    return Next(definition.id, definition.pace, definition.start_us, definition.end_us)
