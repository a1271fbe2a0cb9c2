"""Reads tickets from Wix, keeps the answers, and finds out about tickets that an answer left out.

In: a lot or a page of a listing, claimed and paid for. Out: kept snapshots, and each ticket's next due time. How much is
claimed, and how many reads run at once, is decided in claims.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from server import deadline, logs, metrics
from server.errors import Malformed, NotThere, WixRefused, WixUnavailable
from server.logs import RepeatedWarning
from server.model import Definition, Pace, SiteId, TicketId
from server.refresh.events import EventReader
from server.refresh.silence import SilentSites
from server.store.budget import Priority, Wait
from server.store.claims import Lot, NextRead, read_again
from server.store.schedule import Schedule
from server.store.snapshots import Cause, Kept, ReadResult, Snapshots
from server.wix import cures
from server.wix.client import QueryResult, Wix
from server.wix.credentials import App

log = logs.logger("reader")


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a listing: what was stored, the tickets whose event has to be read before, and those that are unreadable."""

    found: list[NextRead]
    waiting: list[TicketId]
    unreadable: frozenset[TicketId]
    next_cursor: str | None


class Reader:
    """The reads of one worker process. Every method raises RedisUnavailable; `page` raises the faults of Wix too."""

    def __init__(self, schedule: Schedule, snapshots: Snapshots, events: EventReader, wix: Wix) -> None:
        self.schedule = schedule
        self.events = events
        self.faults = events.faults
        self.snapshots = snapshots
        self.wix = wix
        self._refused = RepeatedWarning(log, "query_refused")
        self._silent_sites = SilentSites(schedule, expected=isinstance(wix.credentials, App))

    async def read(self, lot: Lot, *, since: float | None = None) -> None:
        """Read a lot, keep Wix's answer, settle every ticket; *since* is when it was claimed (time.monotonic(); None = now)."""
        with deadline.within(self.schedule.timing.calls_within, since=since):
            try:
                found = await self._query(lot, lot.tickets)
            except (WixUnavailable, NotThere) as error:
                # A 404 for a query means a wrong address or a gateway, and says nothing about any ticket.
                await self.faults.pause(lot.site, lot, error)
                return
            self.faults.answered(lot.site)
            await self.schedule.settle(lot, found)

    async def page(self, site: SiteId, version: int, cursor: str | None, *, since: float | None = None) -> Page:
        """Read and keep a page of a site's listing that was paid for with this *version*; *since* is as in `read`."""
        with deadline.within(self.schedule.timing.calls_within, since=since):
            result = await self.wix.page(site, cursor, lambda: self.schedule.try_spend(site, Priority.REST))
            self.faults.answered(site)
            found, waiting = await self._keep(site, version, result, Priority.REST, Cause.LISTING)
            return Page(found, waiting, result.unreadable, result.next_cursor)

    async def _query(self, lot: Lot, tickets: Sequence[TicketId]) -> list[NextRead]:
        try:
            result = await self.wix.query(lot.site, tickets, lambda: self.schedule.try_spend(lot.site, lot.priority))
        except WixRefused as error:
            self._refused.warn(lot.site, site=lot.site, tickets=len(tickets), error=str(error), hint=cures.hint(error))
            if len(tickets) == 1:
                known = await self.snapshots.stored(lot.site, tickets)
                return [NextRead(one.ticket, one.pace) for one in known] or await self._keep_never_there(lot, tickets)
            # One id that Wix refuses must not hide the others.
            half = len(tickets) // 2
            found: list[NextRead] = []
            for part in (tickets[:half], tickets[half:]):
                if not isinstance(await self.schedule.spend(lot.site, lot.priority), Wait):
                    found += await self._query(lot, part)
                else:
                    found += read_again(part)
            return found
        found, waiting = await self._keep(lot.site, lot.version, result, lot.priority)
        seen = {one.ticket for one in found} | result.unreadable | set(waiting)
        # An unreadable ticket exists, but its number is not known: its snapshot stays, and it is read again in its turn.
        found += [NextRead(ticket, Pace.LIVE) for ticket in tickets if ticket in result.unreadable]
        found += read_again(waiting)
        missing = [ticket for ticket in tickets if ticket not in seen]
        # Only a complete answer proves that a ticket is missing.
        return found + (await self._find_missing(lot, missing) if result.next_cursor is None else read_again(missing))

    async def _keep(
        self, site: SiteId, version: int, result: QueryResult, priority: Priority, cause: Cause | None = None
    ) -> tuple[list[NextRead], list[TicketId]]:
        """Store Wix's answer; answers what was stored, and the tickets whose event has to be read before."""
        events = await self.events.of_tickets(site, {one.event for one in result.definitions}, priority)
        ready = [one for one in result.definitions if one.event in events]
        rules = self.snapshots.rules
        results = [ReadResult.of(one, events[one.event], rules) for one in ready]
        kept = await self._store(site, version, results, cause or Cause.of(priority))
        found = [
            replace(_next_read(one), again=Kept.OTHER_RULES in done) for one, done in zip(ready, kept, strict=True)
        ]
        return found, [one.id for one in result.definitions if one.event not in events]

    async def _store(self, site: SiteId, version: int, results: Sequence[ReadResult], cause: Cause) -> list[Kept]:
        kept = await self.snapshots.keep(site, version, results, cause)
        await self._silent_sites.observe(site, kept)
        return kept

    async def _keep_never_there(self, lot: Lot, tickets: Sequence[TicketId]) -> list[NextRead]:
        """Remember that Wix does not have these tickets, of which no snapshot is stored."""
        kept = await self._store(
            lot.site, lot.version, [ReadResult.never_there(ticket) for ticket in tickets], Cause.of(lot.priority)
        )
        metrics.missing.labels("never_there").inc(len(tickets))
        return [
            NextRead(ticket, Pace.NEVER, again=Kept.KEPT not in done)
            for ticket, done in zip(tickets, kept, strict=True)
        ]

    async def _find_missing(self, lot: Lot, tickets: Sequence[TicketId]) -> list[NextRead]:
        """Find out about tickets that Wix's answer left out: they were never there, or are deleted, or the answer was wrong.

        A known ticket counts as deleted only if two answers left it out and a GET of it alone is answered with 404.
        """
        if not tickets:
            return []
        known = {stored.ticket: stored for stored in await self.snapshots.stored(lot.site, tickets)}
        found = await self._keep_never_there(lot, [ticket for ticket in tickets if ticket not in known])
        for ticket, stored in known.items():
            if stored.pace is Pace.DEAD:
                [kept] = await self._store(
                    lot.site, lot.version, [ReadResult.deleted(ticket, stored.event)], Cause.of(lot.priority)
                )
                found.append(NextRead(ticket, Pace.DEAD, again=Kept.KEPT not in kept))
            elif not stored.missing:
                metrics.missing.labels("again").inc()
                await self.snapshots.miss(lot.site, ticket)
                found.append(NextRead(ticket, Pace.LIVE, again=True))
            else:
                found.append(await self._get(lot, ticket))
        return found

    async def _get(self, lot: Lot, ticket: TicketId) -> NextRead:
        """Read one ticket by itself, and keep it, or that it is deleted."""
        version = await self.schedule.spend(lot.site, lot.priority)
        if isinstance(version, Wait):
            return NextRead(ticket, Pace.LIVE, again=True)
        try:
            definition = await self.wix.get(lot.site, ticket, lambda: self.schedule.try_spend(lot.site, lot.priority))
        except NotThere:
            metrics.missing.labels("deleted").inc()
            event = next((s.event for s in await self.snapshots.stored(lot.site, [ticket])), None)
            [kept] = await self._store(lot.site, version, [ReadResult.deleted(ticket, event)], Cause.of(lot.priority))
            log.info("ticket_deleted", site=lot.site, ticket=ticket)
            return NextRead(ticket, Pace.DEAD, again=Kept.KEPT not in kept)
        except WixRefused as error:
            log.warning("get_refused", site=lot.site, ticket=ticket, error=str(error), hint=cures.hint(error))
            return NextRead(ticket, Pace.LIVE)
        except Malformed as error:
            log.warning("definition_unreadable", site=lot.site, ticket=ticket, error=str(error))
            return NextRead(ticket, Pace.LIVE)
        metrics.missing.labels("found").inc()
        found, waiting = await self._keep(lot.site, version, QueryResult((definition,), frozenset()), lot.priority)
        return (found or read_again(waiting))[0]


def _next_read(definition: Definition) -> NextRead:
    return NextRead(definition.id, definition.pace, definition.start_us, definition.end_us)
