import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from server.campaign import Campaign, ChannelName, RowState, Skip, State
from server.model import SiteId, TicketId
from server.redis.client import RedisClient
from server.store.campaigns import Campaigns
from server.store.outbox import Claim, Outbox
from tests.rig.campaigns import SITE, TICKETS, campaign
from tests.rig.default_keys import key

NAME = campaign().name


@pytest.fixture
def campaigns(store: RedisClient) -> Campaigns:
    return Campaigns(store)


def same(one: Campaign | None) -> Campaign:
    """A stored campaign, but for when it was opened, which Redis says."""
    assert one is not None
    assert one.opened_at == pytest.approx(time.time(), abs=5)
    return replace(one, opened_at=0.0)


async def test_campaign_is_read_as_it_was_opened(anywhere: RedisClient) -> None:
    """A campaign is read as it was opened, by Redis's clock, and its tickets are announced."""
    campaigns = Campaigns(anywhere)
    expected = campaign(tickets=TICKETS, title="Gala: 🎭 \n x", opened_by="person")

    found = await campaigns.open(expected)

    assert replace(expected, opened_at=0.0) == same(found)
    assert found == await campaigns.read(SITE, NAME)
    assert [found] == await campaigns.of_site(SITE)
    assert {TICKETS[0]: NAME, TICKETS[1]: NAME} == await campaigns.announced(SITE)
    assert ([], {}) == (await campaigns.of_site(SiteId("other")), await campaigns.announced(SiteId("other")))


async def test_ticket_is_announced_once(campaigns: Campaigns) -> None:
    """Of processes that open a campaign for the same ticket at the same time one does, and none later."""
    found = await asyncio.gather(*(Campaigns(campaigns.redis).open(campaign()) for _ in range(20)))

    assert 1 == sum(one is not None for one in found)
    assert await campaigns.open(campaign(name="other", tickets=TICKETS)) is None
    assert {TICKETS[0]: NAME} == await campaigns.announced(SITE)
    assert await campaigns.read(SITE, "other") is None


async def test_person_announces_again(campaigns: Campaigns) -> None:
    """A person can have a ticket announced again, by a campaign with a name of its own, and others cannot."""
    await campaigns.open(campaign())
    names = [one.name for _ in range(2) if (one := await campaigns.open(campaign(), again=True))]

    assert [f"{NAME}.2", f"{NAME}.3"] == names
    assert {TICKETS[0]: f"{NAME}.3"} == await campaigns.announced(SITE)
    assert f"{NAME}.4" == same(await campaigns.open(campaign(tickets=TICKETS[1:]))).name


async def test_newest_campaign_is_first(campaigns: Campaigns) -> None:
    """Campaigns are listed by their start, the newest first; those that are not kept any more are left out."""
    now = time.time()
    for number, start in enumerate([now - 50, now, now - 100]):
        await campaigns.open(campaign(name=f"c{number}", start=start), again=True)
    assert ["c1", "c0", "c2"] == [one.name for one in await campaigns.of_site(SITE)]
    assert ["c1"] == [one.name for one in await campaigns.of_site(SITE, skip={"c0", "c2"})]

    await campaigns.redis.do("DEL", key(SITE, "notify", "campaign", "c0"))

    assert ["c1", "c2"] == [one.name for one in await campaigns.of_site(SITE)]


async def test_old_campaigns_are_forgotten(campaigns: Campaigns) -> None:
    """What is kept of a campaign expires after 90 days, and its name with the next campaign; announced tickets stay so."""
    await campaigns.open(campaign(name="old", start=time.time() - 200 * 86400))
    ttl = await campaigns.redis.do("TTL", key(SITE, "notify", "campaign", "old"))
    await campaigns.open(campaign(name="new", tickets=TICKETS[1:]))

    assert 90 * 86400 - 60 < ttl <= 90 * 86400
    assert ["new"] == await campaigns.redis.do("ZRANGE", key(SITE, "notify", "campaigns"), 0, -1)
    assert {TICKETS[0]: "old", TICKETS[1]: "new"} == await campaigns.announced(SITE)


async def test_missed_start_is_recorded(campaigns: Campaigns) -> None:
    """What was missed is recorded once, and counts as announced."""
    assert await campaigns.record_too_late(campaign())
    assert not await campaigns.record_too_late(campaign())

    assert same(await campaigns.read(SITE, NAME)).too_late
    assert await campaigns.open(campaign()) is None


async def test_tickets_join_a_campaign(anywhere: RedisClient) -> None:
    """A ticket that joins is announced by that campaign, once; one of another campaign stays there, and none joins what is not there."""
    campaigns = Campaigns(anywhere)
    await campaigns.open(campaign())
    await campaigns.open(campaign(name="other", tickets=("x",)))

    for _ in range(2):
        assert await campaigns.join(SITE, NAME, [TICKETS[1], TICKETS[0]])
    assert await campaigns.join(SITE, "other", [TICKETS[1]])
    assert not await campaigns.join(SITE, "none", ["y"])  # type: ignore[list-item] # any text names a ticket

    assert TICKETS == same(await campaigns.read(SITE, NAME)).tickets
    assert ("x",) == same(await campaigns.read(SITE, "other")).tickets
    assert {TICKETS[0]: NAME, TICKETS[1]: NAME, "x": "other"} == await campaigns.announced(SITE)


@pytest.mark.parametrize("first", ["a claim", "a beginning"])
@pytest.mark.parametrize("channel", ChannelName)
async def test_no_ticket_joins_once_a_message_is_out(anywhere: RedisClient, channel: ChannelName, first: str) -> None:
    """Once a message is claimed, or about to be, on any channel, no ticket joins: it is free for another campaign."""
    campaigns = Campaigns(anywhere)
    one = await campaigns.open(campaign())
    assert one is not None
    outbox = Outbox(anywhere, one, channel, "worker")
    await outbox.take()
    await outbox.note(State.GATHERING)
    await outbox.skip("skipped", Skip.OPTED_OUT)
    assert await campaigns.join(SITE, NAME, [TICKETS[1]])

    if first == "a claim":
        assert Claim.CLAIMED == await outbox.claim("row", ["0.x"])
    else:
        await Outbox(anywhere, one, channel, "without the lease").begin()
        assert await campaigns.join(SITE, NAME, [TICKETS[1]])
        await outbox.begin()

    assert not await campaigns.join(SITE, NAME, [TicketId("late")])
    assert TICKETS == same(await campaigns.read(SITE, NAME)).tickets
    assert {TICKETS[0], TICKETS[1]} == set(await campaigns.announced(SITE))
    assert f"{NAME}.2" == same(await campaigns.open(campaign(tickets=(TicketId("late"),)))).name


async def test_no_ticket_joins_what_is_over(anywhere: RedisClient) -> None:
    """No ticket joins a campaign that is stopped, whose time is over, or that records what was missed; after `go on` one does."""
    campaigns = Campaigns(anywhere)
    await campaigns.open(campaign(name="stopped"))
    await campaigns.open(campaign(name="over", tickets=("x",), deadline=time.time() - 1))
    await campaigns.record_too_late(campaign(name="missed", tickets=("y",)))
    await campaigns.stop(SITE, "stopped", "Ada")

    assert [False] * 3 == [await campaigns.join(SITE, name, [TICKETS[1]]) for name in ("stopped", "over", "missed")]
    assert TICKETS[1] not in await campaigns.announced(SITE)
    await campaigns.go_on(SITE, "stopped")
    assert await campaigns.join(SITE, "stopped", [TICKETS[1]])


async def test_person_stops_a_campaign(anywhere: RedisClient) -> None:
    """A campaign is stopped once and goes on once, and it is known who stopped it and when."""
    campaigns = Campaigns(anywhere)
    await campaigns.open(campaign())
    assert not await campaigns.go_on(SITE, NAME)

    assert [True, False] == [await campaigns.stop(SITE, NAME, by) for by in ("Ada", "Bob")]

    found = same(await campaigns.read(SITE, NAME))
    assert "Ada" == found.stopped_by
    assert found.stopped_at == pytest.approx(time.time(), abs=5)
    assert [True, False] == [await campaigns.go_on(SITE, NAME) for _ in range(2)]
    assert (None, "") == ((found := same(await campaigns.read(SITE, NAME))).stopped_at, found.stopped_by)


async def _sent(store: RedisClient, channel: ChannelName, *, done: bool) -> None:
    """A worker that has sent one message of the campaign on a channel."""
    outbox = Outbox(store, campaign(), channel, "worker")
    assert await outbox.take()
    await outbox.note(State.SENDING)
    await outbox.claim("row", ())
    await outbox.mark("row", RowState.SENT)
    if done:
        assert await outbox.finish(State.DONE)


@pytest.mark.parametrize(
    ("channels", "push", "stops"),
    [
        ((ChannelName.MAIL,), None, False),
        ((ChannelName.MAIL, ChannelName.PUSH), None, True),
        ((), None, True),
        ((ChannelName.MAIL,), False, True),
        ((), True, False),
    ],
)
async def test_what_is_done_is_not_stopped(
    store: RedisClient, campaigns: Campaigns, channels: Sequence[ChannelName], *, push: bool | None, stops: bool
) -> None:
    """A campaign can be stopped as long as one of its channels, or of those that were begun, is not done."""
    await campaigns.open(campaign())
    await _sent(store, ChannelName.MAIL, done=True)
    if push is not None:
        await _sent(store, ChannelName.PUSH, done=push)

    assert stops == await campaigns.stop(SITE, NAME, "Ada", channels)
    assert stops == (same(await campaigns.read(SITE, NAME)).stopped_at is not None)


async def test_sending_goes_on(store: RedisClient, campaigns: Campaigns) -> None:
    """What goes on after a stop is sending where somebody was written to, else gathering."""
    await campaigns.open(campaign())
    await _sent(store, ChannelName.MAIL, done=False)
    outboxes = [Outbox(store, campaign(), channel, "worker") for channel in ChannelName]
    assert await outboxes[1].take()
    for outbox in outboxes:
        await outbox.finish(State.STOPPED)
    await campaigns.stop(SITE, NAME, "Ada")

    assert await campaigns.go_on(SITE, NAME)
    assert [State.SENDING, State.GATHERING] == [(await outbox.progress()).state for outbox in outboxes]


async def test_nothing_is_stopped_after_the_deadline(campaigns: Campaigns) -> None:
    """After the deadline a campaign can neither be stopped nor go on, nor can one that there is not."""
    await campaigns.open(campaign(deadline=time.time() - 1))

    assert [False, False] == [await campaigns.stop(SITE, name, "Ada") for name in (NAME, "none")]
    assert [False, False] == [await campaigns.go_on(SITE, name) for name in (NAME, "none")]
