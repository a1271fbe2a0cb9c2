import time

from server.campaign import RowState, State
from server.cli.notify_send import Options
from server.redis.client import RedisClient
from server.store.campaigns import Campaigns
from server.store.channel_servers import ChannelServers
from server.store.notify_events import NotifyEvents
from tests.rig.notify_shop import PEOPLE, NotifyShop


async def test_dry_run(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """A dry run says how many would get it until when, as text and as JSON, and opens nothing."""
    status, out, errors = await notify_shop.run("send", "spring-gala", "--dry-run")

    assert (0, "") == (status, errors)
    assert out.startswith("would claim 60 mails now, until ")
    assert "Nothing was claimed or sent.\n" in out
    assert 60 == (await notify_shop.json("send", "spring-gala", "--dry-run"))["audience"]["mails"]
    assert [] == await Campaigns(shop_store).of_site(notify_shop.site)


async def test_send_with_a_question(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """On a terminal it shows what would be sent and asks; whatever is not a yes sends nothing, and is status 4."""
    campaigns = Campaigns(shop_store)
    status, shown = await notify_shop.on_terminal("send", "spring-gala", typed="\n")
    assert 4 == status
    assert "about 60 mails" in shown
    assert shown.endswith("Nothing was sent.\n")
    assert [] == await campaigns.of_site(notify_shop.site)

    status, shown = await notify_shop.on_terminal("send", "spring-gala", typed="y\n")
    assert 0 == status
    [one] = await campaigns.of_site(notify_shop.site)
    assert f"{one.name} is open: the workers send until " in shown
    assert f"ticket-counter notify status {one.name} --watch" in shown


async def test_send_again(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """What was announced is announced again only if that is asked for: without, there is nothing to send, and the status is 3."""
    assert 0 == (await notify_shop.run("send", "spring-gala", "--yes"))[0]
    [one] = await Campaigns(shop_store).of_site(notify_shop.site)
    status, out, errors = await notify_shop.run("send", "spring-gala", "--yes")
    assert (3, "") == (status, out)
    assert (
        "there is nothing to send of spring-gala: no ticket of it is on sale that was not announced (--again" in errors
    )

    found = await notify_shop.json("send", "spring-gala", "--yes", "--again")
    assert (f"{one.name}.2", "person") == (found["campaign"], found["opened_by"])


async def test_nobody_to_send_to(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """An audience without anyone is a warning, and status 3; so is an event of which nothing is on sale."""
    notify_shop.subscribe(())
    for words in (("--yes",), ("--dry-run",)):
        status, _, errors = await notify_shop.run("send", "spring-gala", *words)
        assert 3 == status
        assert "ticket-counter: warning: nobody would get it: the audience of spring-gala is empty\n" == errors
    status, _, errors = await notify_shop.run("send", "autumn-ball", "--yes")
    assert 3 == status
    assert "there is nothing to send of autumn-ball" in errors
    assert [] == await Campaigns(shop_store).of_site(notify_shop.site)


async def test_stopped_campaign_goes_on(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """A campaign that was stopped goes on, by its event's name or by its own, after a question; it is not opened a second time."""
    one = await notify_shop.opened(shop_store)
    await notify_shop.sent(shop_store, one, {PEOPLE[0]: (RowState.SENT, "")})
    await notify_shop.run("stop", one.name)

    status, out, _ = await notify_shop.run("send", "spring-gala", "--dry-run")
    assert 0 == status
    assert out.startswith(f"would go on with {one.name}: 59 left, until ")
    assert one.name == (await notify_shop.json("send", one.name, "--dry-run"))["campaign"]
    status, shown = await notify_shop.on_terminal("send", one.name, typed="n\n")
    assert 4 == status
    assert "1 of about 60" in shown
    assert shown.endswith("Nothing was sent.\n")

    status, out, _ = await notify_shop.run("send", "spring-gala", "--yes")
    assert 0 == status
    assert out.startswith(f"{one.name} goes on: the workers send until ")
    [found] = await Campaigns(shop_store).of_site(notify_shop.site)
    assert found.stopped_at is None


async def test_campaign_that_cannot_go_on(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """A campaign that runs, or whose time is over, has nothing to go on with: status 3."""
    one = await notify_shop.opened(shop_store)
    status, _, errors = await notify_shop.run("send", one.name, "--yes")
    assert (3, f"ticket-counter: {one.name} is neither stopped nor paused\n") == (status, errors)

    over = await notify_shop.opened(shop_store, name="over", tickets=(), deadline=time.time() - 1)
    status, _, errors = await notify_shop.run("send", over.name, "--yes")
    assert (3, "ticket-counter: there is nothing to send of over: its time is over\n") == (status, errors)


async def test_paused_campaign_goes_on(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """A campaign whose relay is paused goes on at once; one that waits for something else says for what, and is status 4."""
    one = await notify_shop.opened(shop_store)
    outbox = await notify_shop.sent(shop_store, one, {})
    await outbox.note(State.PAUSED, "the tool refuses our credentials")
    status, _, errors = await notify_shop.run("send", one.name, "--yes")
    assert 4 == status
    assert (
        f"{one.name} is paused, and goes on by itself once that is mended: the tool refuses our credentials" in errors
    )

    await ChannelServers(shop_store).failed("mail", "refused the sender", "", pause_now=True)
    assert 0 == (await notify_shop.run("send", "spring-gala", "--yes"))[0]
    assert {} == {
        name: state
        for name, state in (await ChannelServers(shop_store).all()).items()
        if state.paused_reason is not None
    }


async def test_withdrawn_campaign_goes_on_by_itself(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """Of a campaign that is withdrawn it is told why, and that it goes on by itself: status 3, and nothing is changed."""
    one = await notify_shop.opened(
        shop_store, tickets=tuple(notify_shop.tickets[name] for name in ("Early bird", "Balcony"))
    )
    outbox = await notify_shop.sent(shop_store, one, {})
    await outbox.note(State.WITHDRAWN, "sold out")
    for name in (one.name, "spring-gala"):
        status, out, errors = await notify_shop.run("send", name, "--yes")
        assert (3, "") == (status, out)
        assert errors.startswith(
            f"ticket-counter: {one.name} is withdrawn: sold out. There is nothing to do: it goes on by itself"
        )
        assert errors.endswith(" Berlin\n")


async def test_event_that_no_worker_serves(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """Where no worker has read of the event, that is told when its campaign is opened."""
    status, _, errors = await notify_shop.run("send", "spring-gala", "--yes")
    assert (
        0,
        "ticket-counter: no worker has read of this event: start `ticket-counter serve` or `worker`, or restart it\n",
    ) == (
        status,
        errors,
    )
    await NotifyEvents(shop_store).switched_on(notify_shop.site, notify_shop.events["spring-gala"])
    assert (0, "") == (found := await notify_shop.run("send", "spring-gala", "--yes", "--again"))[::2], found


async def test_options_without_any() -> None:
    """Without options nothing is done without a question."""
    assert Options() == Options(site=None, dry_run=False, again=False, yes=False, json=False)
