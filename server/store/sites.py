"""The sites that Redis should know: those of the settings, and all that it has known while this process runs.

In: the schedule. Out: the known sites, at each reload. A Redis that lost its data, all of it (emptied, or restarted without a
file) or that of one node of a cluster, gets its sites back from any process that remembers them, and Wix is read again for
all of them. A removed site stays removed: a trace of it is kept for two days.

A site that is known only from WIX_SITES goes when it is taken out there: each process says at each reload which sites stand in
its settings, and a worker removes one of which none has said so for FORGET_AFTER reloads. So it makes no difference in which
order processes are restarted, and a wrong id in WIX_SITES is cured by correcting it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import TypeVar

from server import logs
from server.counter import Rules
from server.errors import RedisUnavailable
from server.model import SiteId, SiteOrigin
from server.store.schedule import Schedule
from server.store.site_records import SiteRecord, SiteRecords

CONCURRENCY = 16
"""Sites that are queried at once, so that a node of Redis which does not answer delays the others by one time-out in all."""

FORGET_AFTER = 6
"""Reloads of a worker, half a minute, in which no process said that a site stands in its settings. Reloads are counted, and not
seconds: after a pause of all processes, each that runs again has the time to say so."""

log = logs.logger("sites")

_T = TypeVar("_T")


class Sites:
    """One process's memory of sites. *configured* are those of the settings, which are added with these *rules*.

    With *check_each*, as in workers, a reload also finds a site that Redis has in its list and yet lost, and removes one that no
    longer stands in any settings, at the cost of a query for each site.
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
        self._records = SiteRecords(schedule.redis)
        # Why each site is known that was asked for: what Redis loses it gets back as it was.
        self._origins: dict[SiteId, SiteOrigin | None] = {}
        # Of sites that are known only from settings, and not from ours: when some process had them in its settings last, and in
        # how many reloads in a row this was so.
        self._unclaimed: dict[SiteId, tuple[str, int]] = {}
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
        doubtful = ((listed | self.known if self._check_each else self.known - listed) | self._configured) - missing
        seen, unanswered = await self._for_each(doubtful, self._look)
        lost, more = await self._for_each([site for site, one in seen.items() if one is None], self._is_lost)
        unanswered |= more
        missing |= {site for site, is_lost in lost.items() if is_lost}
        missing |= {site for site, one in seen.items() if one is not None and site not in listed}
        for site in missing:
            log.warning("site_unknown_to_redis", site=site)
        _, faults = await self._for_each(missing, self._add_again)
        removed, more = await self._for_each(self._forgotten(seen), self._remove)
        if not self._check_each:
            # What is read of these sites reports it.
            unanswered = {site: error for site, error in unanswered.items() if site not in self._configured & listed}
        self._log(unanswered | faults | more)
        # Sites without an answer stay known, so that the next reload asks for them again.
        gone = {site for site, is_removed in removed.items() if is_removed}
        self.known = frozenset({*listed, *missing, *unanswered} - gone)
        return self.known

    async def _look(self, site: SiteId) -> SiteRecord | None:
        """What is stored of a site, which is told that it stands in our settings if it does."""
        found = await (self._records.in_settings(site) if site in self._configured else self._records.read(site))
        if found is not None:
            self._origins[site] = found.origin
        return found

    async def _is_lost(self, site: SiteId) -> bool:
        """Whether Redis lost a site of which it has no record."""
        return not await self.schedule.was_removed(site)

    def _forgotten(self, seen: Mapping[SiteId, SiteRecord | None]) -> list[SiteId]:
        """The sites that have stood in no settings for so long that they are to be removed; only a worker decides that."""
        before, self._unclaimed = self._unclaimed, {}
        if not self._check_each:
            return []
        for site, one in seen.items():
            if one is not None and one.origin is SiteOrigin.SETTINGS and site not in self._configured:
                at, times = before.get(site, ("", 0))
                self._unclaimed[site] = (one.in_settings_at, times + 1 if at == one.in_settings_at else 0)
        return [site for site, (_, times) in self._unclaimed.items() if times >= FORGET_AFTER]

    async def _remove(self, site: SiteId) -> bool:
        at, _ = self._unclaimed[site]
        removed = await self.schedule.remove_site(site, in_settings_at=at)
        if removed:
            log.warning(
                "site_removed",
                site=site,
                reason="it no longer stands in WIX_SITES, and was known only from there",
                hint=f"if this was not meant: put it into WIX_SITES again, or run `ticket-counter sites add {site}`",
            )
        return removed

    async def _add_on_its_node(self, site: SiteId) -> None:
        """Add a site; it is enough if its own node took it: where only the list is unavailable, a reload completes it."""
        try:
            await self._add(site)
        except RedisUnavailable:
            if await self.schedule.rules(site) != self.rules.hash:
                raise

    async def _add(self, site: SiteId) -> None:
        await self._add_as(site, SiteOrigin.SETTINGS if site in self._configured else None)

    async def _add_again(self, site: SiteId) -> None:
        """Add a site that Redis lost as what it was; one of our settings that was removed comes only from there now."""
        if site in self._configured and (site not in self._origins or await self.schedule.was_removed(site)):
            await self._add(site)
        else:
            await self._add_as(site, self._origins.get(site))

    async def _add_as(self, site: SiteId, origin: SiteOrigin | None) -> None:
        await self.schedule.add_site(site, self.rules, everything=self.everything, origin=origin)

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
