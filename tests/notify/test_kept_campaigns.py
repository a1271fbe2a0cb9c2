import pytest

from server.campaign import ChannelName, RowState, State
from server.errors import NotStarted
from server.notify.kept_campaigns import KeptCampaigns
from server.redis.client import RedisClient
from server.store.campaigns import Campaigns
from server.store.notify_events import NotifyEvents
from server.store.schedule import Schedule
from tests.rig.campaigns import EVENT, SITE, campaign
from tests.rig.notify_shop import NotifyShop

NAME = campaign().name


@pytest.fixture
async def kept(store: RedisClient) -> KeptCampaigns:
    """A campaign of a site that is known; nothing else is."""
    await store.do("SADD", "tc:sites", SITE)
    await Campaigns(store).open(campaign())
    return await KeptCampaigns.of_redis(store, Schedule(store))


async def test_status_without_a_file(store: RedisClient, kept: KeptCampaigns) -> None:
    """Campaigns are shown with the channels that a worker has read of their event; without any they are listed."""
    assert [(NAME, ())] == [(one.campaign.name, one.channels) for one in (await kept.status()).campaigns]
    await NotifyEvents(store).set(SITE, EVENT, mail=1)

    report = await kept.report(NAME)
    assert [(ChannelName.MAIL, State.GATHERING, None)] == [
        (one.progress.channel, one.state, one.per_second) for one in report.channels
    ]


async def test_stop_by_the_name_alone(store: RedisClient, kept: KeptCampaigns) -> None:
    """A campaign is stopped by its name, once, in the name of a person."""
    report, stopped = await kept.stop(NAME, "Ada")
    assert (True, "Ada") == (stopped, report.campaign.stopped_by)
    report, stopped = await kept.stop(NAME, "Bob", SITE)
    assert (False, "Ada") == (stopped, report.campaign.stopped_by)


async def test_names_that_are_not_known(store: RedisClient, kept: KeptCampaigns) -> None:
    """A campaign or a site that is not known is told; so is a campaign of several sites."""
    other = SITE.replace("0001", "0009")
    await store.do("SADD", "tc:sites", other)
    await Campaigns(store).open(campaign(site=other))
    for words, told in (
        (("x",), "no campaign 'x' is kept"),
        ((NAME, "x"), f"no site 'x' is known: {SITE}, {other}"),
        ((NAME,), f"several sites have a campaign '{NAME}': add --site with one of {SITE}, {other}"),
    ):
        with pytest.raises(NotStarted, match=told):
            await kept.campaign(*words)
    assert other == (await kept.campaign(NAME, other)).site


async def test_zone_of_a_campaign(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """A campaign has its event's zone, by what is stored of its tickets."""
    one = await notify_shop.opened(shop_store)
    await notify_shop.sent(shop_store, one, {"reader0@people.example": (RowState.SENT, "")})
    report = await (await KeptCampaigns.of_redis(shop_store, Schedule(shop_store))).report(one.name)

    assert ("Europe/Berlin", 1) == (report.zone, report.channels[0].counts.sent)
