"""The campaigns that Redis keeps: how far they are, and an end to one. It needs neither notify.toml nor a setting of notify.

In: names of campaigns, as a person writes them. Out: values of reports.py. Methods raise NotStarted, with what to do, and
RedisUnavailable.
"""

from collections.abc import Callable, Collection

from server.campaign import Campaign
from server.errors import NotStarted
from server.model import SiteId
from server.notify.config import NotifyConfig
from server.notify.reports import CampaignReport, Status
from server.notify.status import Statuses
from server.redis.client import RedisClient
from server.store.campaigns import Campaigns
from server.store.redis_clock import RedisClock
from server.store.schedule import Schedule
from server.wire import guid


class KeptCampaigns:
    """Campaigns by name. *config* None: notify.toml is not known. *clock* gives seconds since 1970, by Redis's clock."""

    def __init__(
        self, redis: RedisClient, config: NotifyConfig | None, schedule: Schedule, *, clock: Callable[[], float]
    ) -> None:
        self.clock = clock
        self.campaigns = Campaigns(redis)
        self.statuses = Statuses(redis, config, clock=clock)
        self._schedule = schedule

    @classmethod
    async def of_redis(cls, redis: RedisClient, schedule: Schedule) -> "KeptCampaigns":
        """The campaigns, with Redis's time and without notify.toml."""
        clock = RedisClock(redis)
        await clock.ask()
        return KeptCampaigns(redis, None, schedule, clock=clock)

    @property
    def now(self) -> float:
        """Seconds since 1970."""
        return self.clock()

    async def status(self, site: str | None = None) -> Status:
        """All campaigns, and what stands in the way."""
        sites = await self.sites(site)
        return Status(
            await self.statuses.campaigns(sites),
            paused=await self.statuses.paused(),
            backlogs=await self.statuses.backlogs(sites),
        )

    async def report(self, campaign: str, site: str | None = None) -> CampaignReport:
        """How far one campaign is; raises NotStarted where there is none of this name."""
        return await self.statuses.report(await self.campaign(campaign, site))

    async def campaign(self, name: str, site: str | None = None) -> Campaign:
        """The campaign of this name."""
        found = await self.named(name, await self.sites(site))
        if found is None:
            raise NotStarted(f"no campaign {name!r} is kept: `ticket-counter notify status` lists them")
        return found

    async def stop(self, campaign: str, by: str, site: str | None = None) -> tuple[CampaignReport, bool]:
        """Stop a campaign in the name of a person; False beside it where it was over already, so that nothing was stopped."""
        found = await self.campaign(campaign, site)
        stopped = await self.campaigns.stop(found.site, found.name, by, await self.statuses.channels(found))
        return await self.report(found.name, found.site), stopped

    async def sites(self, only: str | None = None) -> list[SiteId]:
        """The known sites, or *only* this one; raises NotStarted where it is not known."""
        known = sorted(await self._schedule.sites())
        if only is None:
            return known
        wanted = guid(only)
        if wanted not in known:
            raise NotStarted(f"no site {only!r} is known: {', '.join(known) or 'there is none yet'}")
        return [SiteId(wanted)] if wanted else []

    async def named(self, name: str, sites: Collection[SiteId]) -> Campaign | None:
        """The campaign of this name; raises NotStarted where several sites have one."""
        found = [one for site in sites if (one := await self.campaigns.read(site, name)) is not None]
        if len(found) > 1:
            places = ", ".join(one.site for one in found)
            raise NotStarted(f"several sites have a campaign {name!r}: add --site with one of {places}")
        return found[0] if found else None
