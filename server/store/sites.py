"""The sites that Redis should know: those of the settings, and all that it has known while this process runs.

In: the schedule. Out: the known sites, at each reload. A Redis that lost its data, all of it (emptied, or restarted without a
file) or that of one node of a cluster, gets its sites back from any process that remembers them, and Wix is read again for
all of them. A removed site stays removed: a trace of it is kept for two days.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from functools import partial
from typing import TypeVar

from server import logs
from server.counter import Rules
from server.errors import RedisUnavailable
from server.model import SiteId
from server.store.schedule import Schedule

CONCURRENCY = 16
"""Sites that are queried at once, so that a node of Redis which does not answer delays the others by one time-out in all."""

log = logs.logger("sites")

_T = TypeVar("_T")


class Sites:
    """One process's memory of sites. *configured* are those of the settings, which are added with these *rules*.

    With *check_each*, a reload also finds a site that Redis has in its list and yet lost, at the cost of a query for each site.
    """

    def __init__(
        self,
        schedule: Schedule,
        configured: Collection[SiteId],
        rules: Rules,
        *,
        everything: bool,
        check_each: bool = False,
    ) -> None:
        self._check_each = check_each
        self.schedule = schedule
        self.rules = rules
        self.everything = everything
        self._configured = frozenset(configured)
        self.known = self._configured
        """The sites of the last reload."""

    async def start(self, *, include_known: bool = False) -> None:
        """Add the sites of the settings, and with *include_known* those that Redis knows already, all with our rules.

        Sites on an unavailable node of a cluster are left to `reload`. Raises RedisUnavailable if no site could be added.
        """
        wanted = self._configured
        if include_known:
            try:
                wanted |= await self.schedule.sites()
            except RedisUnavailable as error:
                if not wanted:
                    raise
                log.warning("store_unavailable", error=str(error))
        added, faults = await self._for_each(wanted, self._add_on_its_node)
        if faults and not added:
            raise next(iter(faults.values()))
        self._log(faults)

    async def reload(self) -> frozenset[SiteId]:
        """Add the sites that Redis lost, and answer all known sites; raises RedisUnavailable."""
        listed = await self.schedule.sites()
        missing = self._configured - listed
        doubtful = (listed | self.known if self._check_each else self.known - listed) - missing
        lost, unanswered = await self._for_each(doubtful, partial(self._is_lost, listed))
        missing |= {site for site, is_lost in lost.items() if is_lost}
        for site in missing:
            log.warning("site_unknown_to_redis", site=site)
        _, faults = await self._for_each(missing, self._add)
        self._log(unanswered | faults)
        # Sites without an answer stay known, so that the next reload asks for them again.
        self.known = frozenset({*listed, *missing, *unanswered})
        return self.known

    async def _is_lost(self, listed: Collection[SiteId], site: SiteId) -> bool:
        """Whether Redis lost this site, or only its place in the list."""
        if await self.schedule.rules(site) is not None:
            return site not in listed
        return not await self.schedule.was_removed(site)

    async def _add_on_its_node(self, site: SiteId) -> None:
        """Add a site; it is enough if its own node took it: where only the list is unavailable, a reload completes it."""
        try:
            await self._add(site)
        except RedisUnavailable:
            if await self.schedule.rules(site) != self.rules.hash:
                raise

    async def _add(self, site: SiteId) -> None:
        await self.schedule.add_site(site, self.rules, everything=self.everything)

    async def _for_each(
        self, sites: Iterable[SiteId], query: Callable[[SiteId], Awaitable[_T]]
    ) -> tuple[dict[SiteId, _T], dict[SiteId, RedisUnavailable]]:
        """The answer for each site, and the fault for each that Redis did not answer for."""
        found: dict[SiteId, _T] = {}
        faults: dict[SiteId, RedisUnavailable] = {}
        slots = asyncio.Semaphore(CONCURRENCY)

        async def one(site: SiteId) -> None:
            async with slots:
                try:
                    found[site] = await query(site)
                except RedisUnavailable as error:
                    faults[site] = error

        await asyncio.gather(*(one(site) for site in sites))
        return found, faults

    @staticmethod
    def _log(faults: Mapping[SiteId, RedisUnavailable]) -> None:
        for site, error in faults.items():
            log.warning("store_unavailable", site=site, error=str(error))
