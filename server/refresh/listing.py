"""Lists all tickets of a site, page by page.

In: a claimed listing. Out: kept snapshots of all its tickets, each with a due time, and hints for tracked tickets that were not
listed. Each page is paid for from the site's budget; the lease is extended before each page.
"""

import asyncio
import time
from contextlib import suppress

from server import logs
from server.errors import NotThere, WixRefused, WixUnavailable
from server.model import Hint, TicketId
from server.refresh.reader import Reader
from server.store.budget import Priority, Wait
from server.store.claims import Listing
from server.store.schedule import Schedule

EXTEND_EVERY = 1.0
"""Seconds between two extensions of the lease while the budget has no call for the next page."""

log = logs.logger("listing")


class Lister:
    """Reads one claimed listing; `listing` is the claim with its newest lease.

    It holds one of *slots*, and releases it while it waits for the budget. When *stopping* is set it reads no further page.
    """

    def __init__(
        self,
        schedule: Schedule,
        reader: Reader,
        listing: Listing,
        slots: asyncio.Semaphore,
        stopping: asyncio.Event,
    ) -> None:
        self.schedule = schedule
        self.reader = reader
        self.listing = listing
        self._slots = slots
        self._stopping = stopping

    async def run(self) -> None:
        """Keep every ticket of the site, and mark tracked tickets that were not listed. Raises RedisUnavailable."""
        site = self.listing.site
        listed: set[TicketId] = set()
        complete = True
        cursor, more = None, True
        try:
            while more:
                paid = await self._pay_for_page()
                if paid is None:
                    await self.schedule.release(self.listing)
                    return
                version, asked = paid
                page = await self.reader.page(site, version, cursor, since=asked)
                if any(one.again for one in page.found):
                    # The site has other rules now; the change has made another listing due.
                    await self.schedule.release(self.listing)
                    return
                await self.schedule.track(site, version, page.found)
                if page.waiting:
                    complete = False
                    await self.schedule.mark(site, Hint("event_unread", tuple(page.waiting)))
                listed |= {one.ticket for one in page.found} | page.unreadable | set(page.waiting)
                cursor = page.next_cursor
                more = cursor is not None
            absent = [ticket for ticket in await self.schedule.tracked(site) if ticket not in listed]
            if absent:
                await self.schedule.mark(site, Hint("not_listed", tuple(absent)))
            await self.schedule.listing_done(self.listing, complete=complete)
            log.info("site_listed", site=site, tickets=len(listed), absent=len(absent))
        except (WixUnavailable, WixRefused, NotThere) as error:
            await self.reader.faults.pause(site, None, error)
            await self.schedule.listing_failed(self.listing)

    async def _pay_for_page(self) -> tuple[int, float] | None:
        """Extend the lease until the budget has a call: its version, and when it was asked for (time.monotonic()).

        None when the process is to stop, or when the listing is no longer this worker's.
        """
        while not self._stopping.is_set():
            extended = await self.schedule.extend(self.listing)
            if extended is None:
                log.info("listing_left", site=self.listing.site)
                break
            self.listing = extended
            asked = time.monotonic()
            version = await self.schedule.spend(self.listing.site, Priority.REST)
            if not isinstance(version, Wait):
                return version, asked
            # A site that is paused for minutes must not block the reads of others.
            self._slots.release()
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(version.seconds, EXTEND_EVERY)):
                        await self._stopping.wait()
            finally:
                await self._slots.acquire()
        return None
