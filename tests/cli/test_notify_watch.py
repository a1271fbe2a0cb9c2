import asyncio
import json
import signal

from server.campaign import ChannelName, Counts, Progress, RowState, State
from server.cli.notify_watch import Paces
from server.notify.reports import CampaignReport, ChannelReport
from server.redis.client import RedisClient
from tests.rig.campaigns import campaign
from tests.rig.notify_shop import PEOPLE, NotifyShop
from tests.rig.process import Run


def environment(shop: NotifyShop) -> dict[str, str]:
    """Of a process in another folder."""
    return {**shop.environment, "NOTIFY_FILE": str(shop.folder / "notify.toml")}


def sent(number: int) -> CampaignReport:
    progress = Progress(ChannelName.MAIL, State.SENDING, Counts(number + 5, sent=number, skipped=5), 100)
    return CampaignReport(campaign(), (ChannelReport(progress, State.SENDING),))


async def test_pace_is_that_of_the_last_looks() -> None:
    """The pace is measured between looks, of what was sent or tried; without a change there is none."""
    paces = Paces()
    assert paces.measured(sent(10)).channels[0].measured is None
    await asyncio.sleep(0.05)
    assert paces.measured(sent(10)).channels[0].measured is None
    found = paces.measured(sent(20)).channels[0].measured
    assert found is not None
    assert 0 < found <= 10 / 0.05


async def test_watch_until_the_end(notify_shop: NotifyShop, shop_store: RedisClient, command: Run) -> None:
    """`status --watch` ends with the campaign: without a terminal it prints lines, and none twice; a person who is needed is 4."""
    one = await notify_shop.opened(shop_store)
    outbox = await notify_shop.sent(shop_store, one, {PEOPLE[0]: (RowState.UNKNOWN, "")})
    process = command("notify", "status", one.name, "--watch", "--exit-code", **environment(notify_shop))
    await process.says("mail      ---")
    await outbox.finish(State.STOPPED, "59 not sent")
    status, _ = await process.ended()

    assert (4, "") == (status, process.err)
    assert 2 == process.out.count("mail      ---")
    assert "state     stopped: 59 not sent\n" in process.out
    status, out, _ = await notify_shop.run("status", "--watch", "--json")
    assert 0 == status
    assert [one.name] == [json.loads(line)["campaign"] for line in out.splitlines()]


async def test_watch_on_a_terminal(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """On a terminal it shows a bar while the campaign runs, and at its end what all came to, by name."""
    one = await notify_shop.opened(shop_store)
    outbox = await notify_shop.sent(shop_store, one, dict.fromkeys(PEOPLE[:30], (RowState.SENT, "")))
    await notify_shop.opened(shop_store, name="missed", tickets=(), deadline=1.0)

    async def end() -> None:
        await outbox.finish(State.DONE)

    bar = "##########----------"
    status, shown = await notify_shop.on_terminal("status", "--watch", columns=120, once=(bar, end))
    before, _, after = shown.rpartition("\nmissed\n")

    assert 0 == status
    assert [True, False] == [f"{one.name}\n" in part for part in (after, before)]
    assert f"{bar}\x1b[0m    30 of about 60" in shown
    assert f"{'#' * 20}\x1b[0m    30 of 30" in after


async def test_interrupted(notify_shop: NotifyShop, shop_store: RedisClient, command: Run) -> None:
    """Ctrl+C ends it with a line and status 130: the campaign goes on."""
    one = await notify_shop.opened(shop_store)
    process = command("notify", "status", one.name, "--watch", **environment(notify_shop))
    await process.says("mail      ")
    status, _ = await process.stop(signal.SIGINT)

    assert 130 == status
    assert "ticket-counter: interrupted: campaigns go on, whether they are shown or not\n" == process.err
