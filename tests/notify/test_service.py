import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from server import settings
from server.campaign import ChannelName, RowState, State
from server.errors import AudienceRefused, NotStarted
from server.keyring import Purpose
from server.notify.channels.channel import Result
from server.notify.file.file import load
from server.notify.service import Notify
from server.redis.client import RedisClient
from server.store.campaigns import Campaigns
from server.store.channel_servers import ChannelServers
from server.store.notify_requests import NotifyRequests
from server.store.schedule import Schedule
from server.wix.client import Wix
from tests.rig.notify_shop import PEOPLE, NotifyShop


def no_wix() -> Wix:
    raise NotStarted("no credentials")


@asynccontextmanager
async def service(shop: NotifyShop, store: RedisClient) -> AsyncIterator[Notify]:
    """Notify as a command opens it."""
    given = {name.lower(): value for name, value in shop.environment.items()}
    found = settings.load(_env_file=None, notify_file=shop.folder / "notify.toml", **given)
    config = load(found, found.pages_url, {}, required=True)
    assert config is not None
    async with aclosing(await Notify.opened(store, config, found.keyring, Schedule(store), no_wix)) as notify:
        yield notify


async def refused(shop: NotifyShop, store: RedisClient, method: str, *words: object, **given: object) -> str:
    async with service(shop, store) as notify:
        with pytest.raises(NotStarted) as caught:
            await getattr(notify, method)(*words, **given)
    return str(caught.value)


async def test_preview(notify_shop: NotifyShop, shop_store: RedisClient, tmp_path: Path) -> None:
    """A preview counts, and with a folder writes the message; it opens no campaign and claims nothing."""
    async with service(notify_shop, shop_store) as notify:
        found = await notify.preview("spring-gala")
        written = await notify.preview("spring-gala", str(notify_shop.site), folder=tmp_path / "preview")

    assert ("", 60) == (found.files, found.audience and found.audience.mails)
    assert f"{tmp_path}/preview/spring-gala.{{en,de,he}}.{{html,txt,eml}}" == written.files
    assert [] == await Campaigns(shop_store).of_site(notify_shop.site)


async def test_test_mail(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """A test goes to the relay as all mails do, in the language that is asked for, and leaves no row."""
    async with service(notify_shop, shop_store) as notify:
        reply, message_id = await notify.test(" Me@Example.org ", "spring-gala", "de")

    mail = notify_shop.mail()
    assert Result.SENT == reply.result
    assert (message_id, "me@example.org") == (mail["Message-ID"], mail["To"])
    assert mail["Subject"].startswith("[test] ")
    token = mail["List-Unsubscribe"].removeprefix("<https://tickets.example.org/u/").removesuffix(">")
    assert {"s": notify_shop.site, "p": "csv readers.csv", "e": "spring-gala", "a": "me@example.org"} == (
        notify_shop.keyring.decrypt(Purpose.UNSUBSCRIBE, token)
    )
    assert [] == await Campaigns(shop_store).of_site(notify_shop.site)


async def test_test_mail_that_cannot_be(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """What is no address, a language without texts, an event without a tool, and one that has to be chosen are told."""
    file = notify_shop.folder / "notify.toml"
    told = [
        await refused(notify_shop, shop_store, "test", "me", None, None),
        await refused(notify_shop, shop_store, "test", "me@example.org", "spring-gala", "tlh"),
        await refused(notify_shop, shop_store, "test", "me@example.org", None, None),
    ]
    assert "this is not an e-mail address that mail can be sent to" == told[0]
    assert "there are no texts in 'tlh': there are en, de, he" == told[1]
    assert "say which event: --event with one of autumn-ball, spring-gala" == told[2]

    text = file.read_text()
    file.write_text(text.replace('[events.spring-gala]\ntool = "readers"', "[events.spring-gala]\npush = true"))
    found = await refused(notify_shop, shop_store, "test", "me@example.org", "spring-gala", None)
    assert f"spring-gala has no tool in {file}, so there is no mail about it" == found
    file.write_text("format = 1\n[events.spring-gala]\npush = true\n")
    assert f"no event of {file} has a tool, so no mail is sent" == (
        await refused(notify_shop, shop_store, "test", "me@example.org", None, None)
    )
    assert [] == notify_shop.relay.mails


async def test_only_event_with_a_tool(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """Where one event has a tool, a test is about that; a tool at Wix needs credentials, which is told."""
    file = notify_shop.folder / "notify.toml"
    file.write_text(file.read_text().replace('[events.autumn-ball]\ntool = "readers"', "[events.autumn-ball]"))
    async with service(notify_shop, shop_store) as notify:
        reply, _ = await notify.test("me@example.org", None, None)
    assert Result.SENT == reply.result


async def test_send(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """What is on sale and was not announced is announced, once: a campaign is open, in the name of a person."""
    async with service(notify_shop, shop_store) as notify:
        assert await notify.to_go_on("spring-gala") is None
        found = await notify.to_send("spring-gala", again=False)
        assert found is not None
        campaign = await notify.send(found, again=False)
        with pytest.raises(NotStarted, match="a ticket of spring-gala was announced meanwhile"):
            await notify.send(found, again=False)
        assert await notify.to_send("spring-gala", again=False) is None
        again = await notify.to_send("spring-gala", again=True)
        assert again is not None
        second = await notify.send(again, again=True)

    assert ("person", "spring-gala", "Spring Gala") == (campaign.opened_by, campaign.event_name, campaign.title)
    assert {notify_shop.tickets["Early bird"], notify_shop.tickets["Balcony"]} == set(campaign.tickets)
    assert (notify_shop.keyring.ids[0], 7200.0) == (campaign.key, campaign.deadline - campaign.start)
    assert f"{campaign.name}.2" == second.name


async def test_stop_and_go_on(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """A campaign is stopped in the name of a person, once, and goes on by its name or by its event's."""
    one = await notify_shop.opened(shop_store)
    async with service(notify_shop, shop_store) as notify:
        assert not await notify.go_on(one)
        report, stopped = await notify.stop(one.name, "me")
        assert stopped
        assert ("me", [State.STOPPED]) == (report.campaign.stopped_by, [each.state for each in report.channels])
        assert not (await notify.stop(one.name, "you"))[1]
        found = await notify.to_go_on("spring-gala")
        assert found is not None
        assert found == await notify.to_go_on(one.name, str(notify_shop.site))
        assert await notify.go_on(found)
        assert await notify.to_go_on("spring-gala") is None
        assert (await notify.campaign(one.name)).stopped_at is None


async def test_paused_campaign_goes_on(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """The relay of a campaign that is paused is asked again at once; a push service stays paused where push is not concerned."""
    one = await notify_shop.opened(shop_store)
    outbox = await notify_shop.sent(shop_store, one, {PEOPLE[0]: (RowState.SENT, "")})
    await outbox.note(State.PAUSED, "refused the sender")
    servers = ChannelServers(shop_store)
    for name in ("mail", "push push.example"):
        await servers.failed(name, "refused", "", pause_now=True)

    async with service(notify_shop, shop_store) as notify:
        found = await notify.to_go_on("spring-gala")
        assert found is not None
        assert await notify.go_on(found)
        assert ["push push.example"] == [server.name for server in (await notify.status()).paused]


async def test_status(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """The status has campaigns, what is planned by its start, requests, and events that no site has."""
    one = await notify_shop.opened(shop_store)
    await NotifyRequests(shop_store).opt_out(notify_shop.site, "csv readers.csv", "token", "hash")
    file = notify_shop.folder / "notify.toml"
    file.write_text(f"{file.read_text()}[events.sumer-fete]\npush = true\n")

    async with service(notify_shop, shop_store) as notify:
        found = await notify.status()
        assert abs(time.time() - notify.now) < 5
    assert [one.name] == [each.campaign.name for each in found.campaigns]
    assert ["spring-gala", "autumn-ball"] == [each.event_name for each in found.planned]
    assert (["Europe/Berlin"], ["Europe/Berlin"] * 2) == (
        [each.zone for each in found.campaigns],
        [each.zone for each in found.planned],
    )
    assert [1] == [each.waiting for each in found.backlogs]
    assert (
        f"{file}:10: no event 'sumer-fete' is known: it has no tickets yet, or this is neither its id nor its slug",
    ) == found.hints


async def test_event_that_is_named_twice(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """Of an event that notify.toml names by its slug and by its id the two lines are told, and it is planned once."""
    file = notify_shop.folder / "notify.toml"
    file.write_text(f"{file.read_text()}[events.{notify_shop.events['autumn-ball']}]\npush = true\n")
    told = f"{file}:7 ('autumn-ball') and {file}:10 ('{notify_shop.events['autumn-ball']}') name the same event: remove one of them"

    async with service(notify_shop, shop_store) as notify:
        found = await notify.status()
    assert (["autumn-ball"], (told,)) == (
        [one.event_name for one in found.planned if one.event_name != "spring-gala"],
        found.hints,
    )
    assert told == await refused(notify_shop, shop_store, "preview", "autumn-ball")


async def test_sites(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """A site that is not known, and a campaign that is not kept or that several sites have, are told."""
    one = await notify_shop.opened(shop_store)
    assert f"no site 'x' is known: {notify_shop.site}" == await refused(notify_shop, shop_store, "status", "x")
    found = await refused(notify_shop, shop_store, "report", "x")
    assert "no campaign 'x' is kept: `ticket-counter notify status` lists them" == found

    other = notify_shop.site.replace("5f", "6f")
    await shop_store.do("SADD", "tc:sites", other)
    await notify_shop.opened(shop_store, site=other)
    found = await refused(notify_shop, shop_store, "report", one.name)
    assert f"several sites have a campaign '{one.name}': add --site with one of {notify_shop.site}, {other}" == found
    async with service(notify_shop, shop_store) as notify:
        assert other == (await notify.report(one.name, other)).campaign.site


async def test_forget(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """What is kept of a person is deleted by their address, in whichever form they write it."""
    place = "csv readers.csv"
    hashes = notify_shop.keyring.hashes(Purpose.SUPPRESSION, place, PEOPLE[0])
    await NotifyRequests(shop_store).opt_out(notify_shop.site, place, "token", hashes[0])
    over = await notify_shop.opened(shop_store, name="over", deadline=time.time() + 1)
    await notify_shop.sent(shop_store, over, {PEOPLE[0]: (RowState.SENT, "")})

    async with service(notify_shop, shop_store) as notify:
        kept = await notify.forget(PEOPLE[0].upper())
        assert (0, 1, [("over", over.deadline, "Europe/Berlin")]) == (
            kept.rows,
            kept.requests,
            [(each.campaign, each.until, each.zone) for each in kept.kept],
        )
    assert "this is not an e-mail address that mail can be sent to" == (
        await refused(notify_shop, shop_store, "forget", "nobody")
    )


async def test_audience_that_is_refused(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """An audience that there is not is told by its tool."""
    (notify_shop.folder / "readers.csv").unlink()
    async with service(notify_shop, shop_store) as notify:
        with pytest.raises(AudienceRefused, match=r"readers\.csv"):
            await notify.to_send("spring-gala", again=False)


async def test_push_is_counted(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """An event with push has its browsers in the preview, and a push channel in its campaigns."""
    one = await notify_shop.opened(shop_store, event=notify_shop.events["autumn-ball"], event_name="autumn-ball")
    async with service(notify_shop, shop_store) as notify:
        found = await notify.preview("autumn-ball")
        report = await notify.report(one.name)

    assert {ChannelName.MAIL: 25.0, ChannelName.PUSH: 50.0} == found.per_second
    assert list(ChannelName) == [each.progress.channel for each in report.channels]
