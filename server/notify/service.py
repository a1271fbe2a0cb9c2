"""What the commands of notify do.

In: names of events and campaigns, as a person writes them. Out: values of reports.py. What sends to subscribers is the worker: a
command opens a campaign, stops one, or has one go on. Methods raise TicketCounterError, with what to do.
"""

import secrets
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from server.campaign import Campaign, State
from server.errors import NotStarted
from server.keyring import KeyRing, Purpose
from server.mail_address import folded
from server.model import SiteId
from server.notify.announcement import Announcement
from server.notify.audience import open_source
from server.notify.audience.source import AudienceSource, Member, SourceContext
from server.notify.channels.channel import Delivery, Reply
from server.notify.channels.mail import Mail, sender
from server.notify.config import NotifyConfig
from server.notify.erasure import erase, unsuppress
from server.notify.kept_campaigns import KeptCampaigns
from server.notify.message.mime import message_id
from server.notify.named_events import NamedEvent, NamedEvents
from server.notify.opener import campaign_name
from server.notify.previewer import Previewer
from server.notify.reports import Forgotten, Preview, Status
from server.notify.sales import Sales, SaleStart
from server.redis.client import RedisClient
from server.store.channel_servers import ChannelServers
from server.store.definitions import Definitions
from server.store.notify_events import NotifyEvents
from server.store.redis_clock import RedisClock
from server.store.schedule import Schedule
from server.wix.client import Wix

OpenWix = Callable[[], Wix]
"""A client of Wix, made where a tool needs one; raises NotStarted where its credentials are missing."""


class Notify(KeptCampaigns):
    """The facade for commands that need notify.toml. *clock* gives seconds since 1970, by Redis's clock."""

    def __init__(
        self,
        redis: RedisClient,
        config: NotifyConfig,
        keyring: KeyRing,
        schedule: Schedule,
        open_wix: OpenWix,
        *,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(redis, config, schedule, clock=clock)
        self.config = config
        self._redis = redis
        self._keyring = keyring
        self._open_wix = open_wix
        self._wix: Wix | None = None
        self._definitions = Definitions(redis)
        self._events = NamedEvents(config, self._definitions)
        self._previewer = Previewer(redis, config, keyring)
        self._sales = Sales(self._definitions, self.campaigns, config, clock=clock)

    @classmethod
    async def opened(
        cls, redis: RedisClient, config: NotifyConfig, keyring: KeyRing, schedule: Schedule, open_wix: OpenWix
    ) -> "Notify":
        """Notify with Redis's time. Raises RedisUnavailable."""
        clock = RedisClock(redis)
        await clock.ask()
        return cls(redis, config, keyring, schedule, open_wix, clock=clock)

    async def aclose(self) -> None:
        """Close the connections to Wix."""
        if self._wix is not None:
            await self._wix.aclose()

    # -- status --

    async def status(self, site: str | None = None) -> Status:
        """All campaigns, what is planned, and what stands in the way."""
        found, sites = await super().status(site), await self.sites(site)
        events = {(one.site, one.id): one for one in reversed(await self._events.all(sites))}
        planned = [one for event in events.values() if (one := await self._sales.report(event))]
        hints = [
            f"{self.config.file}:{self.config.events[name].line}: no event {name!r} is known: it has no tickets yet, "
            "or this is neither its id nor its slug"
            for name in await self._events.unknown(sites)
        ]
        hints += await self._events.doubles(sites)
        return replace(found, planned=tuple(sorted(planned, key=lambda one: one.start)), hints=tuple(hints))

    # -- decisions --

    async def forget(self, address: str, site: str | None = None) -> Forgotten:
        """Delete what is kept of a person."""
        places = await self._all_places(site)
        return await erase(_address(address), places, self._redis, self._keyring, now=self.clock())

    async def unsuppress(self, address: str, site: str | None = None) -> int:
        """Undo that a person left the lists of NOTIFY_FILE; answers how many of them."""
        return await unsuppress(_address(address), await self._all_places(site), self._redis, self._keyring)

    # -- sending --

    async def to_go_on(
        self, name: str, site: str | None = None, *, states: Collection[State] = (State.STOPPED, State.PAUSED)
    ) -> Campaign | None:
        """The campaign of this name; or the newest of an event of this name that is in one of *states*, and in time."""
        sites = await self.sites(site)
        if (found := await self.named(name, sites)) is not None:
            return found
        event = await self._events.find(name, sites)
        for campaign in await self.campaigns.of_site(event.site):
            if campaign.event == event.id and self.clock() < campaign.deadline:
                report = await self.statuses.report(campaign)
                if any(one.state in states for one in report.channels):
                    return campaign
        return None

    async def go_on(self, campaign: Campaign) -> bool:
        """Have a campaign go on that is stopped or paused; False where it is neither, or its time is over."""
        resumed = await self.campaigns.go_on(campaign.site, campaign.name)
        report = await self.statuses.report(campaign)
        kinds = {str(one.progress.channel) for one in report.channels if one.state is State.PAUSED}
        servers = ChannelServers(self._redis)
        for server in await self.statuses.paused():
            if self.clock() < campaign.deadline and server.name.partition(" ")[0] in kinds:
                await servers.resume(server.name)
                resumed = True
        return resumed

    async def to_send(self, name: str, site: str | None = None, *, again: bool) -> Preview | None:
        """What can be announced now of an event, and to how many; None where nothing is on sale that was not announced."""
        event = await self._events.find(name, await self.sites(site))
        sale = await self._sales.on_sale(event, again=again)
        return None if sale is None else await self._numbers(event, sale)

    async def send(self, found: Preview, *, again: bool) -> Campaign:
        """Open a campaign for what `to_send` found: from then on the workers send. Raises NotStarted where that was done meanwhile."""
        start = found.start or self.clock()
        campaign = Campaign(
            name=campaign_name(found.event_name, start, found.zone),
            site=found.site,
            event=found.event,
            event_name=found.event_name,
            title=found.title,
            tickets=found.tickets,
            start=start,
            deadline=found.deadline or start + self.config.window,
            opened_at=self.clock(),
            key=self._keyring.ids[0],
            opened_by="person",
        )
        opened = await self.campaigns.open(campaign, again=again)
        if opened is None:
            raise NotStarted(f"a ticket of {found.event_name} was announced meanwhile: `ticket-counter notify status`")
        return opened

    async def is_served(self, found: Campaign) -> bool:
        """Whether a worker has ever read a notify.toml that names the event."""
        return found.event in await NotifyEvents(self._redis).known(found.site)

    # -- messages --

    async def preview(self, name: str, site: str | None = None, *, folder: Path | None = None) -> Preview:
        """What is announced next of an event, and to how many; into *folder* the message is written."""
        event = await self._events.find(name, await self.sites(site))
        sale = await self._sales.any(event)
        found = await self._numbers(event, sale)
        if folder is None or self.config.mail is None:
            return found
        return replace(found, files=self._previewer.write(event, _said(sale, event), folder, at=self.clock()))

    async def test(
        self, address: str, event: str | None, language: str | None, site: str | None = None
    ) -> tuple[Reply, str]:
        """Send the message about an event to one address; answers what the relay replied, and the Message-ID."""
        recipient = _address(address)
        if (settings := self.config.mail) is None:
            raise NotStarted(f"no event of {self.config.file} has a tool, so no mail is sent")
        found = await self._events.with_tool(event, await self.sites(site))
        renderer = self._previewer.renderer(settings)
        chosen = renderer.language(language or "")
        if language and chosen != language:
            names = ", ".join(one.name for one in renderer.languages.all)
            raise NotStarted(f"there are no texts in {language!r}: there are {names}")
        row = self._keyring.hash(Purpose.ROW, "test", recipient, secrets.token_hex(16))
        announcement = _said(await self._sales.any(found), found)
        source = self._source(found)
        channel = Mail(settings, renderer)
        try:
            content = {"s": found.site, "p": source.place, "e": found.name, "a": recipient}
            link = f"{self.config.public_url}/u/{self._keyring.encrypt(Purpose.UNSUBSCRIBE, content)}"
            deadline = self.clock() + self.config.window
            member = Member(recipient, language=chosen)
            reply = await channel.send(
                Delivery(row, member, recipient, chosen, deadline, announcement, link, found.name, test=True)
            )
        finally:
            await channel.aclose()
            await source.aclose()
        return reply, message_id(row, sender(settings).domain)

    # -- parts --

    async def _numbers(self, event: NamedEvent, sale: SaleStart) -> Preview:
        source = self._source(event) if event.audience.tool is not None else None
        try:
            return await self._previewer.numbers(event, sale, source)
        finally:
            if source is not None:
                await source.aclose()

    def _source(self, event: NamedEvent) -> AudienceSource:
        tool = event.audience.tool
        if tool is not None and tool.kind == "wix" and self._wix is None:
            self._wix = self._open_wix()
        context = SourceContext(event.site, self.config.file.resolve().parent, self._wix, self._schedule)
        return open_source(event.audience, context)

    async def _all_places(self, site: str | None) -> dict[SiteId, Collection[str]]:
        """The places of all audiences (AudienceSource.place) of a site, or of each."""
        return {one: await self._places(one) for one in await self.sites(site)}

    async def _places(self, site: SiteId) -> Collection[str]:
        found = set()
        for event in await self._events.all([site]):
            if event.audience.tool is not None:
                source = self._source(event)
                found.add(source.place)
                await source.aclose()
        return found


def _said(sale: SaleStart, event: NamedEvent) -> Announcement:
    if sale.announcement is None:
        raise NotStarted(f"there is no message about {event.name}: {sale.reason}")
    return sale.announcement


def _address(text: str) -> str:
    found = folded(text)
    if found is None:
        raise NotStarted("this is not an e-mail address that mail can be sent to")
    return found
