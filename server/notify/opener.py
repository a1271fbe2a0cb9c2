"""Opens campaigns: looks at the events of notify.toml, and at what of them is on sale.

In: the stream of changes of each site, as a reason to look, and the stored snapshots. Out: campaigns. A look is repeated at each
planned start and every 30 s, so that nothing depends on a message: after a stop the first look finds what was missed.
"""

import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from server import logs
from server.campaign import Campaign
from server.counter import State
from server.errors import RedisUnavailable
from server.logs import RepeatedWarning, log_bug
from server.model import EventId, SiteId
from server.notify.config import EventAudience, NotifyConfig
from server.notify.offer import ON_SALE, definition_of, start_of, state_of, title_of, zone_of
from server.notify.trigger import Joining, Opening, TicketView, decide
from server.redis.client import RedisClient
from server.store.campaigns import Campaigns
from server.store.changes import Changes
from server.store.definitions import Definitions, StoredDefinition
from server.store.notify_events import NotifyEvents
from server.store.redis_clock import RedisClock
from server.store.schedule import Schedule
from server.timed_event import TimedEvent

POLL_EVERY = 0.5
"""Seconds between two reads of a stream."""
AT_ONCE = 500
LOOK_EVERY = 30.0
"""Seconds between two looks at an event of which nothing is heard."""
RECLAIM_IDLE = 10.0
"""Seconds after which a process that took entries and did not acknowledge them counts as dead."""
WATCH_EVERY = 3600.0
"""Seconds between two times that an event's tickets are watched: they stay tracked for two days, also where only those are that
a visitor has looked at."""
AFTER_BUG = 5.0
"""Seconds until a site is polled again after an error that is a bug."""
GROUP, CONSUMER = "notify", "worker"
"""All workers are one consumer: the one that reads an entry looks, and the others do so within `LOOK_EVERY`."""

log = logs.logger("notify")


class Opener:
    """The looks of one process. *key* is the id of the key by which recipients are hashed; *sites* answers the known sites."""

    def __init__(
        self,
        config: NotifyConfig,
        key: str,
        redis: RedisClient,
        schedule: Schedule,
        sites: Callable[[], Collection[SiteId]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self.key = key
        self.schedule = schedule
        self.campaigns = Campaigns(redis)
        self.events = NotifyEvents(redis)
        self.definitions = Definitions(redis)
        self.changes = Changes(redis, GROUP, CONSUMER)
        self.now = RedisClock(redis)
        self._sites = sites
        self._clock = clock
        self._found: dict[tuple[SiteId, str], EventId | None] = {}
        self._look_at: dict[tuple[SiteId, str], float] = {}
        self._watch_at: dict[tuple[SiteId, EventId], float] = {}
        self._reclaim_at: dict[SiteId, float] = {}
        self._not_before: dict[SiteId, float] = {}
        self._unavailable = RepeatedWarning(log, "store_unavailable")

    async def run(self, stopping: TimedEvent) -> None:
        """Look until *stopping* is set."""
        while not stopping.is_set():
            more = [await self._try_to_poll(site) for site in sorted(self._sites())]
            await stopping.within(0.0 if any(more) else POLL_EVERY)

    async def _try_to_poll(self, site: SiteId) -> bool:
        """Poll one site, whose faults hold up no other; answers whether there may be more."""
        if self._clock() < self._not_before.get(site, 0.0):
            return False
        try:
            more = await self.poll(site)
        except RedisUnavailable as error:
            self._unavailable.warn(site, site=site, error=str(error))
        except Exception as error:  # noqa: BLE001 - a bug here must not stop the counter, which this process serves too
            log_bug(log, "notify_bug", error, site=site)
            self._not_before[site] = self._clock() + AFTER_BUG
        else:
            self._unavailable.resolved(site, site=site)
            return more
        return False

    async def poll(self, site: SiteId) -> bool:
        """Read what is new of one site, and look where there is a reason to; answers whether there may be more.

        Raises RedisUnavailable.
        """
        changes = (await self.changes.read(site, AT_ONCE)).changes
        if self._clock() >= self._reclaim_at.get(site, 0.0):
            self._reclaim_at[site] = self._clock() + LOOK_EVERY
            changes += (await self.changes.reclaim(site, RECLAIM_IDLE, AT_ONCE)).changes
        changed = {one.event for one in changes}
        for name, audience in self.config.events.items():
            event = self._found.get((site, name))
            # An event that was not found may be what has changed.
            heard = bool(changed) if event is None else event in changed
            if heard or self._clock() >= self._look_at.get((site, name), 0.0):
                await self.look(site, audience)
        await self.changes.ack(site, *(one.entry for one in changes))
        return len(changes) >= AT_ONCE

    async def look(self, site: SiteId, audience: EventAudience) -> list[Campaign]:
        """Look at one event, and open what is to be opened; answers the campaigns that this look opened. Raises RedisUnavailable."""
        await self.now.ask()
        found = await self.definitions.find_event(site, audience.event)
        self._found[site, audience.event] = found.event if found else None
        self._look_at[site, audience.event] = self._clock() + LOOK_EVERY
        if found is None:
            return []
        since = await self.events.switched_on(site, found.event)
        tickets = await self.definitions.of_event(site, found.event)
        read = [one for ticket in tickets if (one := await self.definitions.read(site, ticket))]
        if self._clock() >= self._watch_at.get((site, found.event), 0.0) and tickets:
            await self.schedule.watch(site, tickets)
            self._watch_at[site, found.event] = self._clock() + WATCH_EVERY
        views = [view for one in read if (view := view_of(one))]
        opened: list[Campaign] = []
        closed: set[str] = set()
        # Each round announces a ticket that was not, finds a campaign that takes none any more, or is the last one.
        left = len(views) + 1
        while left > 0:
            decision = decide(
                views,
                now=self.now(),
                since=since,
                announced=await self.campaigns.announced(site),
                campaigns=[one for one in await self.campaigns.of_site(site) if one.event == found.event],
                window=self.config.window,
                together=self.config.together,
                closed=closed,
            )
            if decision.is_empty:
                break
            refused = {one.campaign for one in decision.join if not await self._join(site, one)}
            closed |= refused
            left -= not refused
            if decision.open and (
                campaign := await self.campaigns.open(self._campaign(site, audience, read, decision.open))
            ):
                opened.append(campaign)
                log.info("campaign_opened", site=site, campaign=campaign.name, tickets=len(campaign.tickets))
            if decision.too_late:
                missed = self._campaign(site, audience, read, decision.too_late)
                if await self.campaigns.record_too_late(missed):
                    log.warning("sale_start_missed", site=site, campaign=missed.name, tickets=len(missed.tickets))
        self._plan(site, audience, views)
        return opened

    async def _join(self, site: SiteId, join: Joining) -> bool:
        """Have a campaign announce these too; False where a message of it has gone out, or it is over or stopped."""
        if not await self.campaigns.join(site, join.campaign, join.tickets):
            return False
        log.info("tickets_join", site=site, campaign=join.campaign, tickets=len(join.tickets))
        return True

    def _plan(self, site: SiteId, audience: EventAudience, views: Collection[TicketView]) -> None:
        """Look again at the next start, if that is sooner."""
        now = self.now()
        starts = [one.start - now for one in views if one.start is not None and one.start > now]
        self._look_at[site, audience.event] = self._clock() + min([LOOK_EVERY, *starts])

    def _campaign(
        self, site: SiteId, audience: EventAudience, read: Collection[StoredDefinition], opening: Opening
    ) -> Campaign:
        one = next(one for one in read if one.ticket == opening.tickets[0])
        return Campaign(
            name=campaign_name(audience.event, opening.start, zone_of(one)),
            site=site,
            event=one.event or EventId(""),
            event_name=audience.event,
            title=title_of(one),
            tickets=opening.tickets,
            start=opening.start,
            deadline=opening.start + self.config.window,
            opened_at=self.now(),
            key=self.key,
        )


def campaign_name(event_name: str, start: float, zone: str | None) -> str:
    """The name of a campaign: its event, and the month, day and hour of the sale's start in the event's zone (None = UTC)."""
    return f"{event_name}@{datetime.fromtimestamp(start, _zone(zone)):%m-%dT%H}"


def _zone(name: str | None) -> tzinfo:
    try:
        return ZoneInfo(name) if name else UTC
    except (ValueError, OSError, KeyError):
        # Wix's text names no zone of the database that this machine has.
        return UTC


def view_of(stored: StoredDefinition) -> TicketView | None:
    """A ticket as the trigger sees it; None of one that was deleted."""
    definition = definition_of(stored)
    if definition is None:
        return None
    state = state_of(stored)
    return TicketView(definition.id, definition.name, start_of(definition), state in ON_SALE, state is State.SCHEDULED)
