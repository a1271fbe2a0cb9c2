"""The reader: what Wix says of tickets, and what it says by leaving one out.

In: a lot or a page of a listing, claimed and paid for. Out: kept snapshots, and each ticket's next due time. Claims, and how
many reads run at once, are claims.py's.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from server import logs, metrics
from server.errors import Malformed, NotThere, RedisUnavailable, TicketCounterError, WixRefused, WixUnavailable
from server.model import Definition, Pace, SiteId, TicketId
from server.refresh.silence import Silence
from server.store.budget import Priority, Wait
from server.store.schedule import Lot, Next, Schedule, look_again
from server.store.snapshots import Kept, ReadResult, Snapshots
from server.wix import deadline
from server.wix.client import Answer, Wix
from server.wix.credentials import App

READ_WITHIN = 0.8
"""The part of a lease in which all calls of a claim end: the budget relies on no call arriving at Wix after the lease."""

log = logs.logger("reader")


class Reader:
    """Reads for one worker process. All that it does raises RedisUnavailable; a page, what is wrong with Wix as well."""

    def __init__(self, schedule: Schedule, snapshots: Snapshots, wix: Wix) -> None:
        self.schedule = schedule
        self.snapshots = snapshots
        self.wix = wix
        self._silence = Silence(schedule, expected=isinstance(wix.credentials, App))

    async def read(self, lot: Lot, *, since: float | None = None) -> None:
        """Read a lot, keep what Wix answered, settle every ticket of it; *since* is when it was claimed (see `_deadline`)."""
        with self._deadline(since):
            try:
                found = await self._query(lot, lot.tickets)
            except (WixUnavailable, NotThere) as error:
                # A 404 to a query is a wrong address or a gateway, and says nothing of any ticket.
                await self.fault(lot.site, lot, error)
                return
            await self.schedule.settle(lot, found)

    async def page(
        self, site: SiteId, version: int, cursor: str | None, *, since: float | None = None
    ) -> tuple[Answer, list[Next]]:
        """Read a page of a site's listing, which was paid for with this *version* and *since* then, and keep it."""
        with self._deadline(since):
            answer = await self.wix.page(site, cursor, lambda: self._pay(site, Priority.REST))
            return answer, await self._keep(site, version, answer)

    async def fault(self, site: SiteId, lot: Lot | None, error: TicketCounterError) -> None:
        """Wix did not answer as it should: pause the site, and make due again what was to be read."""
        status = 404 if isinstance(error, NotThere) else getattr(error, "status", 0)
        paused = await self.schedule.fault(site, lot, getattr(error, "retry_after", None))
        metrics.pauses.labels(str(status)).inc()
        log.warning("wix_fault", site=site, status=status, error=str(error), paused=round(paused, 3))

    def _deadline(self, since: float | None) -> AbstractContextManager[None]:
        """End all calls to Wix of this block while what was claimed *since* then has its place in the budget.

        A moment of time.monotonic() before the claim was asked for, as the process may have been suspended; None = now.
        """
        return deadline.within(READ_WITHIN * self.schedule.timing.lease, since=since)

    async def _query(self, lot: Lot, tickets: Sequence[TicketId]) -> list[Next]:
        try:
            answer = await self.wix.query(lot.site, tickets, lambda: self._pay(lot.site, lot.reason))
        except WixRefused as error:
            log.warning("query_refused", site=lot.site, tickets=len(tickets), error=str(error))
            if len(tickets) == 1:
                known = await self.snapshots.stored(lot.site, tickets)
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
        findings = [ReadResult.of(definition, self.snapshots.rules) for definition in answer.definitions]
        kept = await self._store(site, version, findings)
        return [
            replace(_next(definition), again=Kept.OTHER_RULES in done)
            for definition, done in zip(answer.definitions, kept, strict=True)
        ]

    async def _store(self, site: SiteId, version: int, findings: Sequence[ReadResult]) -> list[Kept]:
        kept = await self.snapshots.keep(site, version, findings)
        await self._silence.learn(site, kept)
        return kept

    async def _never(self, lot: Lot, tickets: Sequence[TicketId]) -> list[Next]:
        """Wix does not have these and we never did."""
        kept = await self._store(lot.site, lot.version, [ReadResult.never_there(ticket) for ticket in tickets])
        metrics.missing.labels("never_there").inc(len(tickets))
        return [
            Next(ticket, Pace.NEVER, again=Kept.KEPT not in done) for ticket, done in zip(tickets, kept, strict=True)
        ]

    async def _missing(self, lot: Lot, tickets: Sequence[TicketId]) -> list[Next]:
        """Wix's answer left these out. Only what was never there, or what Wix answers 404 to by itself, is gone."""
        if not tickets:
            return []
        known = {stored.ticket: stored for stored in await self.snapshots.stored(lot.site, tickets)}
        found = await self._never(lot, [ticket for ticket in tickets if ticket not in known])
        for ticket, stored in known.items():
            if stored.pace is Pace.DEAD:
                [kept] = await self._store(lot.site, lot.version, [ReadResult.deleted(ticket, stored.event)])
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
            event = next((s.event for s in await self.snapshots.stored(lot.site, [ticket])), None)
            [kept] = await self._store(lot.site, version, [ReadResult.deleted(ticket, event)])
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

    async def _paid(self, site: SiteId, reason: Priority) -> bool:
        return not isinstance(await self.schedule.spend(site, reason), Wait)

    async def _pay(self, site: SiteId, reason: Priority) -> bool:
        try:
            return await self._paid(site, reason)
        except RedisUnavailable:
            return False


def _next(definition: Definition) -> Next:
    return Next(definition.id, definition.pace, definition.start_us, definition.end_us)
