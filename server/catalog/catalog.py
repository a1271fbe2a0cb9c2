"""All events and tickets: from Redis where a worker keeps it true, else from Wix itself.

In: settings, and the URL of Redis, None = there is none. Out: a Catalog; or NotStarted where nothing says which sites there are, and
the errors of Wix where it has to be asked.
"""

from collections.abc import AsyncIterator, Collection
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum

from server.catalog import fresh
from server.catalog.listed import ListedEvent, in_order
from server.catalog.payment import ByPace, FromBudget, Payment
from server.catalog.stored import StoredCatalog
from server.errors import NotStarted, NotThere, RedisUnavailable, WixRefused, WixUnavailable
from server.model import SiteId
from server.redis.client import RedisClient, Use
from server.settings import Settings
from server.store.schedule import Schedule
from server.wix.client import Wix
from server.wix_client import open_wix

NO_SITE = (
    "no site is known: set WIX_SITES to your app instance id (with an API key `instance=site id`), "
    "or install the app on your site while the server runs (`ticket-counter sites` lists those that are known)"
)


class ReadFrom(StrEnum):
    """Where something was read."""

    REDIS = "redis"
    WIX = "wix"


@dataclass(frozen=True, slots=True)
class Catalog:
    """The *events* of all *sites*; *notes* say, a line each, where they come from and what may be missing."""

    sites: tuple[SiteId, ...]
    events: tuple[ListedEvent, ...]
    read_from: frozenset[ReadFrom]
    notes: tuple[str, ...] = ()


async def read(settings: Settings, redis_url: str | None) -> Catalog:
    """Read the catalog of all sites that are known."""
    async with _redis(settings, redis_url) as (schedule, notes):
        sites = sorted({*settings.sites, *(await schedule.sites() if schedule else ())})
        if not sites:
            settings.credentials()  # without any, that is what has to be said first
            raise NotStarted(NO_SITE)
        async with aclosing(_Reader(settings, schedule)) as reader:
            found: list[Catalog] = []
            unread: list[str] = []
            for site in sites:
                try:
                    found.append(await reader.read(site))
                except (WixUnavailable, WixRefused, NotThere) as error:
                    if len(unread) == len(sites) - 1:
                        raise
                    # An id that is wrong must not hide the other sites.
                    unread.append(f"site {site} could not be read: {error}; {error.hint}")
        return Catalog(
            tuple(sites),
            tuple(in_order(event for one in found for event in one.events)),
            frozenset().union(*(one.read_from for one in found)),
            (*notes, *(note for one in found for note in one.notes), *unread),
        )


@asynccontextmanager
async def _redis(settings: Settings, url: str | None) -> AsyncIterator[tuple[Schedule | None, Collection[str]]]:
    """The schedule in Redis, None where Redis cannot be reached, and what is to be said of that."""
    if url is None:
        yield (
            None,
            (f"read from Wix, since no `serve` runs with DATA_DIR={settings.data_dir} and REDIS_URL is not set",),
        )
        return
    async with aclosing(RedisClient(url, Use.WORK, settings.redis_prefix)) as redis:
        try:
            await redis.do("PING")
        except RedisUnavailable as error:
            unavailable = f"read from Wix, since Redis is unavailable ({error})"
        else:
            yield Schedule(redis, settings.timing), ()
            return
    yield None, (unavailable,)


class _Reader:
    """Reads one site after the other; a client of Wix is made once it is needed, since credentials may be missing."""

    def __init__(self, settings: Settings, schedule: Schedule | None) -> None:
        self._settings = settings
        self._schedule = schedule
        self._stored = StoredCatalog(schedule) if schedule else None
        self._payment: Payment = FromBudget(schedule) if schedule else ByPace()
        self._wix: Wix | None = None

    async def read(self, site: SiteId) -> Catalog:
        """The catalog of one site."""
        if self._stored is None:
            return await self._of_wix(site, self._payment)
        lag = await self._stored.lag(site)
        if lag is not None and lag <= self._settings.max_stale:
            found = await self._stored.read(site)
            fault = await self._stored.fault(site)
            note = f"Wix fails at present: these are the numbers of {found.age:.0f} s ago, which visitors see until they are MAX_STALE old: "
            notes = () if fault is None else (f"{note}{fault.text}; {fault.hint}",)
            return Catalog((site,), found.events, frozenset({ReadFrom.REDIS}), notes)
        known = self._schedule is not None and site in await self._schedule.sites()
        try:
            fresh_site = await self._of_wix(site, self._payment if known else ByPace())
        except WixUnavailable as error:
            found = await self._stored.read(site)
            if not found.events:
                raise
            note = f"these are the numbers of {found.age / 60:.0f} min ago, since Wix cannot be read: {error}; {error.hint}"
            return Catalog((site,), found.events, frozenset({ReadFrom.REDIS}), (note,))
        why = "its tickets are not all in Redis" if lag is None else f"what is due was not read for {lag:.0f} s"
        return Catalog((site,), fresh_site.events, fresh_site.read_from, (f"read from Wix: {why}", *fresh_site.notes))

    async def _of_wix(self, site: SiteId, payment: Payment) -> Catalog:
        if self._wix is None:
            self._wix = open_wix(self._settings)
        found = await fresh.read(self._wix, site, self._settings.rules, payment)
        return Catalog((site,), found.events, frozenset({ReadFrom.WIX}), found.notes)

    async def aclose(self) -> None:
        """Close the connections to Wix."""
        if self._wix is not None:
            await self._wix.aclose()
