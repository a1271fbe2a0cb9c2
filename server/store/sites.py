"""The sites that Redis should know: those of the settings, and all that it knew while this process lives.

In: the schedule. Out: what is known after each look. A Redis that lost its data, be it all (it was emptied, or came back
from nothing) or that of one part of a cluster, gets its sites back from whoever remembers them, and everything of them
is read from Wix again. A site that was let go stays gone: it leaves a trace for two days, as its webhooks may come.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from functools import partial
from typing import TypeVar

from server import logs
from server.errors import RedisUnavailable
from server.model import Rules, SiteId
from server.store.schedule import Schedule

AT_ONCE = 16
"""Sites that are asked about at once: a part of Redis that hangs delays the others by one wait, not by one each."""

log = logs.logger("sites")

_T = TypeVar("_T")


class Sites:
    """One process's memory of sites. *given* are those of the settings, taken on under these *rules*.

    One that is *thorough* finds also what is listed and yet lost, at the cost of a call for each site and look.
    """

    def __init__(
        self,
        schedule: Schedule,
        given: Collection[SiteId],
        rules: Rules,
        *,
        everything: bool,
        thorough: bool = False,
    ) -> None:
        self._thorough = thorough
        self.schedule = schedule
        self.rules = rules
        self.everything = everything
        self._given = frozenset(given)
        self.known = self._given
        """All that this process has reason to believe in."""

    async def start(self, *, others: bool = False) -> None:
        """Take on the sites of the settings, and with *others* those that Redis knows already, all under our rules.

        What a part of Redis that is away keeps from that, `look` finds later. Raises RedisUnavailable if all of it is.
        """
        wanted = self._given
        if others:
            try:
                wanted |= await self.schedule.sites()
            except RedisUnavailable as error:
                if not wanted:
                    raise
                log.warning("store_unavailable", error=str(error))
        taken, faults = await self._each(wanted, self._take)
        if faults and not taken:
            raise next(iter(faults.values()))
        self._tell(faults)

    async def reload(self) -> frozenset[SiteId]:
        """Take those on again that Redis lost, and answer all that are known; raises RedisUnavailable."""
        listed = await self.schedule.sites()
        missing = self._given - listed
        doubtful = (listed | self.known if self._thorough else self.known - listed) - missing
        asked, silent = await self._each(doubtful, partial(self._lacks, listed))
        missing |= {site for site, lacks in asked.items() if lacks}
        for site in missing:
            log.warning("site_unknown_to_redis", site=site)
        _, faults = await self._each(missing, self._add)
        self._tell(silent | faults)
        # Of whom Redis said nothing, or did not take it now, is not forgotten: it is looked for again.
        self.known = frozenset({*listed, *missing, *silent})
        return self.known

    async def _lacks(self, listed: Collection[SiteId], site: SiteId) -> bool:
        """Whether Redis lost this site, be it from its list only."""
        if await self.schedule.rules(site) is not None:
            return site not in listed
        return not await self.schedule.was_let_go(site)

    async def _take(self, site: SiteId) -> None:
        try:
            await self._add(site)
        except RedisUnavailable:
            # Where only the list is away it is taken on all the same, and listed by a later look.
            if await self.schedule.rules(site) != self.rules.hash:
                raise

    async def _add(self, site: SiteId) -> None:
        await self.schedule.add_site(site, self.rules, everything=self.everything)

    async def _each(
        self, sites: Iterable[SiteId], ask: Callable[[SiteId], Awaitable[_T]]
    ) -> tuple[dict[SiteId, _T], dict[SiteId, RedisUnavailable]]:
        """Ask about each; what Redis answered, and for which it did not."""
        found: dict[SiteId, _T] = {}
        faults: dict[SiteId, RedisUnavailable] = {}
        room = asyncio.Semaphore(AT_ONCE)

        async def one(site: SiteId) -> None:
            async with room:
                try:
                    found[site] = await ask(site)
                except RedisUnavailable as error:
                    faults[site] = error

        await asyncio.gather(*(one(site) for site in sites))
        return found, faults

    @staticmethod
    def _tell(faults: Mapping[SiteId, RedisUnavailable]) -> None:
        for site, error in faults.items():
            log.warning("store_unavailable", site=site, error=str(error))
