"""The opener on a real worker and a local Wix: what goes on sale there is announced."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from sandbox.model import Registration
from server.campaign import Campaign, ChannelName
from server.errors import RedisUnavailable
from server.model import EventId, Hint, SiteId, TicketId
from server.notify.config import EventAudience, NotifyConfig
from server.notify.opener import AFTER_BUG, LOOK_EVERY, Opener, campaign_name
from server.store.campaigns import Campaigns
from server.store.outbox import Claim, Outbox
from server.timed_event import TimedEvent
from tests.rig.default_keys import key
from tests.rig.server import until
from tests.rig.wix import ManualClock, WixRig
from tests.rig.worker_rig import WorkerRig, mark, running_worker, watch

HOUR = 3600.0


@dataclass
class Rig:
    """A worker that reads the sandbox, and an opener beside it."""

    wix: WixRig
    worker: WorkerRig
    config: NotifyConfig
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self.site = SiteId(self.wix.site)
        self.campaigns = Campaigns(self.worker.store)
        self.opener = self.new_opener()

    @property
    def audience(self) -> EventAudience:
        return next(iter(self.config.events.values()))

    def new_opener(self, clock: Any = None) -> Opener:
        """The opener of another process."""
        sites = [self.site]
        return Opener(
            self.config, "0a1b2c3d", self.worker.store, self.worker.schedule, lambda: sites, clock=clock or self.clock
        )

    async def says(self, name: str, **changes: Any) -> TicketId:
        """The organiser changes a ticket, and the worker has read it, also after a start that is now."""
        id_ = TicketId(self.wix.tickets[name])
        revision = self.wix.world.update(id_, **changes).updated
        start = changes.get("start") or 0.0
        since = max(await self.read_at(id_), revision, start if start < revision + 1 else 0.0)
        await mark(self.worker, self.site, id_)

        async def read() -> bool:
            return await self.read_at(id_) > since

        await until(read)
        return id_

    async def read_at(self, ticket: str) -> float:
        return float(await self.worker.store.do("HGET", key(self.site, "ticket", ticket), "read_at") or 0) / 1e6

    async def look(self) -> list[Campaign]:
        return await self.opener.look(self.site, self.audience)


@pytest.fixture
async def rig(redis_url: str, wix: WixRig) -> AsyncIterator[Rig]:
    """The event of the sandbox in notify.toml by its slug, read once, and looked at once: notify is switched on for it."""
    slug = wix.world.event(wix.event).slug
    config = NotifyConfig(Path("notify.toml"), {slug: EventAudience(slug, push=True)}, "https://tickets.example.org")
    wix.world.update(wix.tickets["scheduled"], start=time.time() + 48 * HOUR)
    async with running_worker(redis_url, wix) as worker:
        found = Rig(wix, worker, config)
        await watch(worker, wix.site, *wix.tickets.values())
        await until(lambda: found.opener.definitions.find_event(found.site, slug))
        for ticket in wix.tickets.values():
            await worker.shows(wix.site, ticket)
        await until(lambda: worker.store.do("HGET", key(wix.site, "ticket", wix.tickets["fixed"]), "facts"))
        assert [] == await found.look()
        yield found


def test_names_of_campaigns() -> None:
    """A campaign is named after its event and the hour of the sale's start in the event's zone, which is UTC where it is not known."""
    start = 1_796_144_400.0
    assert "spring-gala@12-01T18" == campaign_name("spring-gala", start, "Europe/Berlin")
    assert ["g@12-01T17"] * 3 == [campaign_name("g", start, zone) for zone in (None, "Nowhere/None", "../etc")]


async def test_ticket_that_goes_on_sale_opens_one_campaign(rig: Rig) -> None:
    """A start that is set is announced when it comes, once, with all that a run has to know, and a moved start not again."""
    start = time.time() - 1
    fixed = await rig.says("fixed", start=start + HOUR)
    assert [] == await rig.look()
    await rig.says("fixed", start=float(math.ceil(rig.opener.now())))

    [found] = await rig.look()

    assert [] == await rig.look()
    assert ((fixed,), rig.wix.event, "clock", "0a1b2c3d") == (found.tickets, found.event, found.opened_by, found.key)
    assert rig.wix.world.event(rig.wix.event).title == found.title
    assert found.deadline == found.start + 2 * HOUR
    assert found.name.startswith(f"{rig.audience.event}@")
    await rig.says("fixed", start=float(round(rig.opener.now())) + 1)
    assert [] == await rig.look()
    assert [found] == await rig.campaigns.of_site(rig.site)


async def test_second_ticket_joins(rig: Rig) -> None:
    """A second ticket that goes on sale within the hour, before a message of the first is out, is part of it; there is no second one."""
    fixed = await rig.says("fixed", start=rig.opener.now() + 0.001)
    [found] = await rig.look()
    low = await rig.says("low", start=rig.opener.now() + 0.001)

    assert [] == await rig.look()

    assert {fixed: found.name, low: found.name} == await rig.campaigns.announced(rig.site)
    assert [(fixed, low)] == [one.tickets for one in await rig.campaigns.of_site(rig.site)]


@pytest.mark.parametrize("closed", ["a message is out by mail", "a message is out by push", "stopped"])
async def test_ticket_after_the_first_message_has_a_campaign_of_its_own(rig: Rig, closed: str) -> None:
    """A ticket that goes on sale within the hour, once somebody was told or a person stopped it, is announced by its own campaign."""
    fixed = await rig.says("fixed", start=rig.opener.now() + 0.001)
    [first] = await rig.look()
    if closed == "stopped":
        await rig.campaigns.stop(rig.site, first.name, "Ada")
    else:
        outbox = Outbox(rig.worker.store, first, ChannelName(closed.rpartition(" ")[2]), "worker")
        await outbox.take()
        assert Claim.CLAIMED == await outbox.claim("row", ["0.x"])
    low = await rig.says("low", start=rig.opener.now() + 0.001)

    [second] = await rig.look()

    assert (low,) == second.tickets
    # Where an hour ends between the two, the hour tells them apart.
    assert second.name == f"{first.name}.2" or second.name > first.name
    assert {fixed: first.name, low: second.name} == await rig.campaigns.announced(rig.site)
    assert [] == await rig.look()


async def test_message_goes_out_while_it_is_decided(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first message goes out between the decision and its effect, the effect is refused, and it is decided again."""
    await rig.says("fixed", start=rig.opener.now() + 0.001)
    [first] = await rig.look()
    low = await rig.says("low", start=rig.opener.now() + 0.001)
    outbox = Outbox(rig.worker.store, first, ChannelName.MAIL, "worker")
    await outbox.take()
    join = rig.opener.campaigns.join

    async def claims_before(*given: Any) -> bool:
        await outbox.claim("row", ["0.x"])
        return await join(*given)

    monkeypatch.setattr(rig.opener.campaigns, "join", claims_before)

    assert [(low,)] == [one.tickets for one in await rig.look()]


async def test_ticket_that_starts_soon_is_announced_too(rig: Rig) -> None:
    """A ticket whose sale starts within the hour is part of the message, and of no other one when it goes on sale."""
    low = await rig.says("low", start=rig.opener.now() + HOUR / 2)
    fixed = await rig.says("fixed", start=rig.opener.now() + 0.001)

    [found] = await rig.look()

    assert (fixed, low) == found.tickets


async def test_hidden_ticket_is_announced_when_it_is_shown(rig: Rig) -> None:
    """A ticket that is hidden at its start is announced when it is shown again."""
    await rig.says("fixed", start=rig.opener.now() + 0.001, hidden=True)
    assert [] == await rig.look()
    await rig.says("fixed", hidden=False)

    assert 1 == len(await rig.look())


async def test_event_that_sells_nothing_is_not_announced(rig: Rig) -> None:
    """While registration is paused, or the event is cancelled, nothing is announced; when it is open again, it is."""
    await rig.says("fixed", start=rig.opener.now() + 0.001, hidden=True)
    rig.wix.world.update_event(rig.wix.event, registration=Registration(paused=True))
    await mark_event(rig)
    await rig.worker.shows(rig.site, rig.wix.tickets["low"], state="closed")
    await rig.says("fixed", hidden=False)
    assert [] == await rig.look()

    rig.wix.world.update_event(rig.wix.event, registration=Registration())
    await mark_event(rig)
    await rig.worker.shows(rig.site, rig.wix.tickets["fixed"], state="available")
    assert 1 == len(await rig.look())


async def test_missed_start_is_recorded(rig: Rig) -> None:
    """What began while nobody looked is announced if it is not too late, and else recorded once, and never announced."""
    events = key(rig.site, "notify", "events")
    await rig.worker.store.do("HSET", events, rig.wix.event, time.time() - 6 * HOUR)
    await rig.says("fixed", start=time.time() - HOUR)
    await rig.says("low", start=time.time() - 3 * HOUR)

    [found] = await rig.look()

    assert (rig.wix.tickets["fixed"],) == found.tickets
    [missed] = [one for one in await rig.campaigns.of_site(rig.site) if one.too_late]
    assert (rig.wix.tickets["low"],) == missed.tickets
    assert [] == await rig.look()


async def test_two_workers_open_one_campaign(rig: Rig) -> None:
    """Two workers that look at the same time open one campaign."""
    await rig.says("fixed", start=rig.opener.now() + 0.001)
    workers = [rig.opener, rig.new_opener()]

    found = await asyncio.gather(*(one.look(rig.site, rig.audience) for one in workers))

    assert 1 == sum(len(one) for one in found)


async def test_event_that_is_not_known_yet(rig: Rig) -> None:
    """An event that this site does not have, or not yet, is looked at again when something has changed."""
    other = EventAudience("other-event", push=True)
    assert [] == await rig.opener.look(rig.site, other)
    opener = Opener(
        NotifyConfig(Path("notify.toml"), {"other-event": other}, "https://tickets.example.org"),
        "0a1b2c3d",
        rig.worker.store,
        rig.worker.schedule,
        lambda: [rig.site],
        clock=rig.clock,
    )
    await opener.poll(rig.site)
    fixed = await rig.says("fixed", start=rig.opener.now() + 0.001)
    await rig.worker.store.do("HSET", key(rig.site, "slugs"), "other-event", rig.wix.event)
    await rig.worker.store.do("HSET", key(rig.site, "notify", "events"), rig.wix.event, time.time() - HOUR)

    await opener.poll(rig.site)

    assert [(fixed,)] == [one.tickets for one in await rig.campaigns.of_site(rig.site)]


async def test_looks_without_a_reason_are_rare(rig: Rig) -> None:
    """An event of which nothing is heard is looked at every 30 s, and at its next start; a change is a reason at once."""
    await rig.opener.poll(rig.site)
    looked: list[float] = []
    look = rig.opener.look

    async def counted(site: SiteId, audience: EventAudience) -> list[Campaign]:
        looked.append(rig.clock())
        return await look(site, audience)

    rig.opener.look = counted  # type: ignore[method-assign]
    await rig.opener.poll(rig.site)
    assert [] == looked
    rig.clock.advance(LOOK_EVERY)
    await rig.opener.poll(rig.site)
    assert 1 == len(looked)

    await rig.says("fixed", start=rig.opener.now() + 5)
    await rig.opener.poll(rig.site)
    assert 2 == len(looked)
    rig.clock.advance(4)
    await rig.opener.poll(rig.site)
    assert 2 == len(looked)
    rig.clock.advance(2)
    await rig.opener.poll(rig.site)
    assert 3 == len(looked)


async def test_entries_are_acknowledged(rig: Rig) -> None:
    """What was looked at for is acknowledged, also what a worker had read that was killed."""
    await rig.says("fixed", start=rig.opener.now() + HOUR)
    await rig.new_opener().changes.read(rig.site)
    pending = ("XPENDING", key(rig.site, "changes"), "notify")
    assert (await rig.worker.store.do(*pending))["pending"] > 0
    await rig.worker.store.do(
        "XCLAIM", key(rig.site, "changes"), "notify", "worker", 0, *await entries(rig), "IDLE", 60_000
    )

    rig.clock.advance(LOOK_EVERY)
    await rig.opener.poll(rig.site)

    assert 0 == (await rig.worker.store.do(*pending))["pending"]


async def mark_event(rig: Rig) -> None:
    """A webhook says that the event has changed."""
    event = EventId(rig.wix.event)
    tickets = tuple(TicketId(one) for one in rig.wix.tickets.values())
    await rig.worker.schedule.mark(rig.site, Hint("test", tickets, event, of_event=True))


async def entries(rig: Rig) -> list[str]:
    return [entry for entry, _ in await rig.worker.store.do("XRANGE", key(rig.site, "changes"), "-", "+")]


async def test_campaign_is_open_soon_after_the_start(rig: Rig) -> None:
    """A running opener has opened the campaign within three seconds of the sale's start in Wix, and ends when it is told."""
    stopping = TimedEvent()
    running = asyncio.create_task(rig.new_opener(time.monotonic).run(stopping))
    start = time.time() + 2.5
    await rig.says("fixed", start=start)

    await until(lambda: rig.campaigns.of_site(rig.site))
    took = time.time() - start
    stopping.set()
    await running

    assert 0 <= took < 3


async def test_fault_holds_up_no_other_site(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug, and a Redis that is away, are logged, the site is looked at again later, and other sites meanwhile."""
    monkeypatch.setattr("server.notify.opener.POLL_EVERY", 0.01)
    other, rounds = SiteId("another-site"), 0
    faults = [RuntimeError("a bug"), RedisUnavailable("Redis is away")]
    stopping, opener, poll = TimedEvent(), rig.new_opener(), rig.opener.poll
    opener._sites = lambda: [rig.site, other]

    async def failing(site: SiteId) -> bool:
        nonlocal rounds
        if site == other:
            rounds += 1
            if rounds == 3:
                rig.clock.advance(AFTER_BUG)
            return rounds % 2 == 0
        if faults:
            raise faults.pop(0)
        stopping.set()
        return await poll(site)

    monkeypatch.setattr(opener, "poll", failing)
    with capture_logs() as lines:
        await opener.run(stopping)

    assert ["notify_bug", "store_unavailable"] == [
        one["event"] for one in lines if one["log_level"] in {"error", "warning"}
    ]
    assert 5 == rounds
