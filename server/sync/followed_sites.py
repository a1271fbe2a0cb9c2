"""The sites of which a target follows an event, as far as this process knows them: most sites have none.

In: what Redis has, asked for now and then. Out: the sites that a loop has to look at.
"""

from collections.abc import Callable, Collection

from server.model import SiteId
from server.store.sync_records import Records

KEPT = 2.0
"""Seconds for which the sites are not asked for again."""


class FollowedSites:
    """The followed sites of one target among those that *known* answers; *clock* gives seconds, from any start."""

    def __init__(
        self, target: str, records: Records, known: Callable[[], Collection[SiteId]], clock: Callable[[], float]
    ) -> None:
        self._target = target
        self._records = records
        self._known = known
        self._clock = clock
        self._asked: float | None = None
        self._found: frozenset[SiteId] = frozenset()

    async def __call__(self) -> list[SiteId]:
        """The sites in their order. Raises RedisUnavailable."""
        if self._asked is None or self._clock() - self._asked > KEPT:
            self._found = await self._records.sites(self._target)
            self._asked = self._clock()
        return sorted(self._found.intersection(self._known()))
