"""Follows counters in Redis, as any program can: an example consumer of what this server publishes.

In: ticket ids, or none for every tracked ticket. Out: the counter of each at first, then as it changes, as text; `unknown`
once its number cannot be verified any more, which is not published. Named tickets are kept fresh as a web process does for
its viewers, so their bound is MAX_STALE; the others are read every RECONCILE in any case, so theirs is RECONCILE + MAX_STALE.
With several sites, a named ticket is followed once a site stores it. Named tickets that no site stores are reported once. While Redis
is unavailable `watch` waits and reconnects.
"""

import asyncio
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import aclosing

from server import wire
from server.chunks import chunks
from server.errors import NotStarted, RedisUnavailable
from server.model import SiteId, TicketId
from server.redis.client import RedisClient, Use
from server.redis.listener import Listener
from server.redis.namespace import DEFAULT_PREFIX
from server.single_line import printable
from server.store.schedule import READ_AT_ONCE, Schedule
from server.store.timing import Timing

POLL_EVERY = 5.0
"""Seconds between two polls, which find new tickets and the age of each counter; four of them keep a ticket watched."""
CONFIRMED_WITHIN = 0.1
"""Seconds from a confirmed subscription to a poll: confirmations that come together share one."""
FRESH_FOR = 2 * POLL_EVERY
"""Seconds that a published counter counts as verified: by then a poll has found its exact age."""
UNKNOWN_AFTER = 2.0
"""Seconds after which a named ticket that no site stores is reported: a worker has read a new one by then."""
RETRY_EVERY = 1.0
"""Seconds between two attempts to reach a Redis that became unavailable."""


class FollowedTicket:
    """The newest counter of one ticket, until when it is verified, and what was shown last; times are the event loop's."""

    def __init__(self, ticket: TicketId) -> None:
        self.ticket = ticket
        self.counter: str | None = None
        self.verified_until = 0.0
        self.shown: str | None = None

    def take(self, text: str, verified_until: float, *, older: bool = False) -> None:
        """Keep a counter that a process of ours wrote; one that is older than the one here only with *older*."""
        if text != self.counter:
            counter = wire.counter_of(text)
            if counter is None or counter.ticket != self.ticket:
                return
        if self.counter is None or older or wire.v_of(text) >= wire.v_of(self.counter):
            self.counter = text
            self.verified_until = max(self.verified_until, verified_until)

    def to_show(self, now: float) -> str | None:
        """The counter if it counts as verified at this time, else `unknown`; None if that was shown last."""
        verified = self.counter is not None and (now < self.verified_until or wire.stays_true(self.counter))
        text = self.counter if verified else wire.unknown(self.ticket)
        if text == self.shown:
            return None
        self.shown = text
        return text


class Watch:
    """Shows the counters of *tickets*, or of every tracked ticket, as they change: *show* gets the JSON of each.

    *find_url* gives the URL of Redis, again for each connection; *report* gets a line when Redis goes and when it is back, and one
    about named tickets of which nothing is stored.
    *timing* and *prefix* (REDIS_PREFIX) must be those of the deployment.
    """

    def __init__(
        self,
        find_url: Callable[[], str],
        tickets: Sequence[TicketId],
        show: Callable[[str], None],
        report: Callable[[str], None],
        timing: Timing,
        *,
        prefix: str = DEFAULT_PREFIX,
        poll_every: float = POLL_EVERY,
        retry_every: float = RETRY_EVERY,
        unknown_after: float = UNKNOWN_AFTER,
    ) -> None:
        self._find_url = find_url
        self._named = tuple(dict.fromkeys(tickets))
        self._show = show
        self._report = report
        self._timing = timing
        self._bound = timing.max_stale if tickets else timing.reconcile + timing.max_stale
        self._prefix = prefix
        self._poll_every = poll_every
        self._retry_every = retry_every
        # By channel, over all connections: what did not change while there was none is not shown again.
        self._followed: dict[str, FollowedTicket] = {}
        # Since when each named ticket has been looked for and not found; infinite once that was reported.
        self._unknown_after = unknown_after
        self._unknown: dict[TicketId, float] = {}

    async def run(self) -> None:
        """Follow for ever; raises NotStarted or RedisUnavailable if at first Redis is unavailable or knows no site."""
        tasks = {asyncio.create_task(self._connections()), asyncio.create_task(self._expire())}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _connections(self) -> None:
        connected_before, unavailable = False, False
        while True:
            try:
                async with aclosing(RedisClient(self._find_url(), Use.LISTEN, self._prefix)) as redis:
                    schedule = Schedule(redis, self._timing)
                    await _sites(schedule)
                    if unavailable:
                        self._report("Redis is available again")
                    connected_before, unavailable = True, False
                    async with redis.listener() as listener:
                        await self._follow(schedule, listener)
            except (NotStarted, RedisUnavailable) as error:
                if not connected_before:
                    raise
                if not unavailable:
                    self._report(f"Redis is unavailable, waiting until it is back ({error})")
                unavailable = True
                await asyncio.sleep(self._retry_every)

    async def _follow(self, schedule: Schedule, listener: Listener) -> None:
        """Follow over one connection, until it is lost."""
        # Subscribed channels, and whether that is confirmed: what was published before is lost, so only then they are read.
        confirmed: dict[str, bool] = {}
        poll_at = 0.0
        while True:
            if _now() >= poll_at:
                poll_at = _now() + self._poll_every
                await self._poll(schedule, listener, confirmed)
            received = await listener.receive(max(0.01, poll_at - _now()))
            if received is None:
                continue
            if received.text is None:
                confirmed[received.channel] = True
                poll_at = min(poll_at, _now() + CONFIRMED_WITHIN)
            elif followed := self._followed.get(received.channel):
                followed.take(received.text, _now() + min(FRESH_FOR, self._bound))
                self._update(followed)

    async def _poll(self, schedule: Schedule, listener: Listener, confirmed: dict[str, bool]) -> None:
        """Subscribe to new tickets, and read those whose subscription is confirmed."""
        for site, tickets in (await self._tickets(schedule)).items():
            channels = {schedule.keys.channel(site, ticket): ticket for ticket in tickets}
            new = channels.keys() - confirmed.keys()
            confirmed.update(dict.fromkeys(new, False))
            await listener.subscribe(*new)
            for some in chunks([ticket for channel, ticket in channels.items() if confirmed[channel]], READ_AT_ONCE):
                await self._read(schedule, site, some)

    async def _tickets(self, schedule: Schedule) -> Mapping[SiteId, Sequence[TicketId]]:
        """Which tickets of each site are followed."""
        sites = await _sites(schedule)
        if not self._named:
            return {site: await schedule.tracked(site) for site in sites}
        if len(sites) == 1:
            return dict.fromkeys(sites, self._named)
        # A site would have a ticket of another one read from Wix, in vain.
        stored = {site: await schedule.stored(site, self._named) for site in sites}
        known = {site: [one.ticket for one in found if one.v is not None] for site, found in stored.items()}
        for ticket in set(self._named).difference(*known.values()):
            self._unknown.setdefault(ticket, _now())
        return known

    async def _read(self, schedule: Schedule, site: SiteId, tickets: Sequence[TicketId]) -> None:
        now = _now()
        if self._named:
            found = await schedule.watch(site, tickets, counters=True)
            stored = found.tickets if found else ()
        else:
            stored = await schedule.stored(site, tickets)
        for one in stored:
            followed = self._followed.setdefault(schedule.keys.channel(site, one.ticket), FollowedTicket(one.ticket))
            if one.counter is None and self._named:
                self._unknown.setdefault(one.ticket, now)
            if one.counter is not None:
                # An older one is stored where Redis lost its last writes; it may be shown once ours is not verified any more.
                followed.take(one.counter, now + self._bound - one.age, older=now >= followed.verified_until)
            self._update(followed)

    async def _expire(self) -> None:
        """Each second show which counters cannot be verified any more, however long Redis takes to answer."""
        while True:
            await asyncio.sleep(min(1.0, self._poll_every))
            self._report_unknown()
            for followed in self._followed.values():
                self._update(followed)

    def _report_unknown(self) -> None:
        """Report once each named ticket of which no site has had anything for some time."""
        until = _now() - self._unknown_after
        due = {ticket for ticket, since in self._unknown.items() if since <= until}
        if not due:
            return
        known = {one.ticket for one in self._followed.values() if one.counter is not None}
        found = [one for one in self._named if one in due - known]
        for one in due:
            self._unknown[one] = math.inf
        if found:
            self._report(
                f"not known yet: {', '.join(found)}: no site has a ticket of this id, or no worker has read it. `ticket-counter "
                "tickets` lists all ids; a ticket that is new in Wix is printed here once it is read"
            )

    def _update(self, followed: FollowedTicket) -> None:
        text = followed.to_show(_now())
        if text is not None:
            self._show(text)


async def _sites(schedule: Schedule) -> Collection[SiteId]:
    sites = await schedule.sites()
    if not sites:
        raise NotStarted("no site is known in this Redis yet: start `ticket-counter serve` or `worker` on it first")
    return sites


def _now() -> float:
    return asyncio.get_running_loop().time()


def line(counter: str) -> str:
    """One counter as a line for a person; control characters in a name become blanks."""
    found = json.loads(counter)
    name = printable(found["name"] or "")
    left = "" if found["unsold"] is None else f"{found['unsold']} left"
    prices = ", ".join(f"{price['amount']} {price['currency']}" for price in found["prices"][:3])
    return f"{found['ticket']}  {found['state']:<9}  {left:<10}  {name}  {prices}".rstrip()
