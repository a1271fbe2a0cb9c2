"""How far campaigns are, and what stands in their way.

In: the sites, notify.toml, and what is stored. Out: values of reports.py. It writes nothing.
"""

from collections.abc import Callable, Collection, Iterable

from server.campaign import MISSED, UNATTENDED, Campaign, ChannelName, Progress, State
from server.model import SiteId
from server.notify.channels.mail import sender
from server.notify.config import NotifyConfig
from server.notify.message.mime import message_id
from server.notify.offer import zone_of_tickets
from server.notify.reports import Backlog, CampaignReport, ChannelReport, PausedServer
from server.redis.client import RedisClient
from server.store.campaigns import Campaigns
from server.store.channel_servers import ChannelServers
from server.store.definitions import Definitions
from server.store.notify_events import NotifyEvents
from server.store.notify_requests import NotifyRequests, RequestKind
from server.store.outbox import Outbox

MOST_IDS = 1000
"""Message-IDs that are listed of one campaign."""
READER = "status"
"""The worker's token of an outbox that is only read."""


class Statuses:
    """The status of all campaigns. *config* None: notify.toml is not known. *clock* gives seconds since 1970, by Redis's clock.

    Its methods raise RedisUnavailable.
    """

    def __init__(self, redis: RedisClient, config: NotifyConfig | None, *, clock: Callable[[], float]) -> None:
        self._redis = redis
        self._config = config
        self._clock = clock
        self._campaigns = Campaigns(redis)
        self._events = NotifyEvents(redis)
        self._definitions = Definitions(redis)
        self._domain = sender(config.mail).domain if config and config.mail else ""

    async def campaigns(self, sites: Iterable[SiteId]) -> tuple[CampaignReport, ...]:
        """All campaigns that are kept, the newest first."""
        found = [one for site in sites for one in await self._campaigns.of_site(site)]
        found.sort(key=lambda one: (-one.start, one.name))
        return tuple([await self.report(one) for one in found])

    async def report(self, campaign: Campaign) -> CampaignReport:
        """How far one campaign is."""
        found = [await self._channel(campaign, channel) for channel in ChannelName]
        wanted = await self.channels(campaign)
        return CampaignReport(
            campaign,
            tuple(one for one in found if one.progress.channel in wanted or one.progress.started_at is not None),
            await zone_of_tickets(self._definitions, campaign.site, campaign.tickets),
            self._clock(),
        )

    async def channels(self, campaign: Campaign) -> Collection[ChannelName]:
        """The channels of the campaign's event: by notify.toml; where that is not known, as a worker read it last."""
        if self._config is None:
            facts = await self._events.facts(campaign.site, campaign.event)
            return [name for name in ChannelName if facts.get(name) == "1"]
        audience = self._config.events.get(campaign.event_name)
        if audience is None:
            return ()
        channels = {ChannelName.MAIL: audience.tool is not None, ChannelName.PUSH: audience.push}
        return [name for name, wanted in channels.items() if wanted]

    async def paused(self) -> tuple[PausedServer, ...]:
        """The relay and the push services that get nothing now."""
        servers = await ChannelServers(self._redis).all()
        return tuple(
            PausedServer(name, state.paused_reason, state.cure, state.paused_at, state.next_probe)
            for name, state in servers.items()
            if state.paused_reason is not None
        )

    async def backlogs(self, sites: Iterable[SiteId]) -> tuple[Backlog, ...]:
        """Requests of visitors that wait, were given up, or that a tool refused."""
        requests = NotifyRequests(self._redis)
        found = []
        for site in sites:
            for kind in RequestKind:
                backlog = await requests.backlog(site, kind)
                if not backlog.waiting and not backlog.parked:
                    continue
                names = await self._names(site) if kind is RequestKind.SIGN_UP else {}
                faults, given_up = (
                    {names.get(about, about): text for about, text in reasons.items()}
                    for reasons in (backlog.faults, backlog.given_up if backlog.parked else {})
                )
                found.append(Backlog(site, kind, backlog.waiting, backlog.parked, backlog.oldest, faults, given_up))
        return tuple(found)

    async def _names(self, site: SiteId) -> dict[str, str]:
        """The names in notify.toml of a site's events, by their ids."""
        names = self._config.events if self._config else ()
        found = {name: await self._definitions.find_event(site, name) for name in names}
        return {one.event: name for name, one in found.items() if one is not None and one.event is not None}

    async def _channel(self, campaign: Campaign, channel: ChannelName) -> ChannelReport:
        outbox = Outbox(self._redis, campaign, channel, READER)
        progress = await outbox.progress()
        rows = await outbox.unknown(MOST_IDS) if channel is ChannelName.MAIL and progress.counts.unknown else []
        state, note = _state(campaign, progress, self._clock())
        config = self._config
        settings = None if config is None else config.mail if channel is ChannelName.MAIL else config.push
        return ChannelReport(
            progress,
            state,
            note,
            await outbox.is_held(),
            settings.per_second if settings else None,
            tuple(message_id(row, self._domain) for row in rows if self._domain),
        )


def _state(campaign: Campaign, progress: Progress, now: float) -> tuple[State, str]:
    """The state and its note, as they are now: what a worker wrote, unless the clock or a person has decided since."""
    left = max(progress.total or 0, progress.counts.candidates) - progress.counts.ended
    not_sent = f"{left:,} not sent" if progress.total is not None else "not sent"
    if campaign.too_late:
        return State.TOO_LATE, progress.note or f"{MISSED}: not sent"
    if progress.ended_at is not None:
        return progress.state, progress.note
    if campaign.stopped_at is not None:
        return State.STOPPED, not_sent
    if now >= campaign.deadline:
        return State.TOO_LATE, f"{UNATTENDED}: {not_sent}"
    return progress.state, progress.note
