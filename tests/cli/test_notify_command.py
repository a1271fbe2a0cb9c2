import json
import time

import pytest
import typer

from server.campaign import RowState, State
from server.cli.notify_command import guarded
from server.errors import NotStarted
from server.redis.client import RedisClient
from server.store.campaigns import Campaigns
from server.store.notify_events import NotifyEvents
from tests.rig.notify_shop import PEOPLE, NotifyShop

BROKEN = {
    "NOTIFY_SMTP_URL": "nonsense",
    "NOTIFY_KEYS": "short",
    "NOTIFY_FROM": "nobody",
    "NOTIFY_VAPID_KEYS": "x",
    "NOTIFY_SENDER_NAME": "",
}


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("preview", "nonsense"), 2),
        (("status", "x"), 2),
        (("stop", "x"), 2),
        (("forget", "me"), 2),
        (("unsuppress", "me"), 2),
        (("test", "me", "--event", "spring-gala"), 2),
        (("send", "spring-gala"), 2),
        (("send", "autumn-ball", "--yes"), 3),
        (("preview",), 2),
        (("status", "--nonsense"), 2),
        (("nonsense",), 2),
    ],
)
async def test_errors_as_objects(notify_shop: NotifyShop, words: tuple[str, ...], status: int) -> None:
    """With --json, what cannot run or has nothing to do is one object on standard output, beside the line on standard error."""
    found, out, errors = await notify_shop.run(*words, "--json")

    assert status == found
    (line,) = out.splitlines()
    told = json.loads(line)
    assert (1, ["error", "format"]) == (told["format"], sorted(told))
    assert told["error"].splitlines()[0].rstrip(".") in errors


async def test_wrong_setting_as_an_object(notify_shop: NotifyShop) -> None:
    """A setting that is wrong is told as an object, too."""
    status, out, errors = await notify_shop.run("preview", "spring-gala", "--json", NOTIFY_SMTP_URL="nonsense")
    assert 2 == status
    assert "NOTIFY_SMTP_URL" in json.loads(out)["error"]
    assert "NOTIFY_SMTP_URL" in errors


@pytest.mark.parametrize("text", ["format = ", "format = 1\n", None])
async def test_stop_needs_no_file(notify_shop: NotifyShop, shop_store: RedisClient, text: str | None) -> None:
    """A campaign is stopped whatever is wrong with notify.toml and with the settings of notify."""
    one = await notify_shop.opened(shop_store)
    file = notify_shop.folder / "notify.toml"
    file.unlink() if text is None else file.write_text(text)
    status, out, errors = await notify_shop.run("stop", one.name, **BROKEN)

    assert (0, "") == (status, errors)
    assert out.startswith(f"{one.name} is stopped; ")
    assert (await Campaigns(shop_store).of_site(notify_shop.site))[0].stopped_by


@pytest.mark.parametrize(
    ("text", "given", "told"),
    [
        ("format = ", {}, "notify.toml:1"),
        (None, {"NOTIFY_SMTP_URL": ""}, "NOTIFY_SMTP_URL is not set"),
        (None, BROKEN, "NOTIFY_SMTP_URL"),
    ],
)
async def test_status_needs_no_file(
    notify_shop: NotifyShop, shop_store: RedisClient, text: str | None, given: dict[str, str], told: str
) -> None:
    """The status shows what Redis has, and what is wrong with the file or a setting as a note."""
    one = await notify_shop.opened(shop_store)
    await notify_shop.sent(shop_store, one, {PEOPLE[0]: (RowState.SENT, "")})
    if text is not None:
        (notify_shop.folder / "notify.toml").write_text(text)
    for words in (("status",), ("status", one.name)):
        status, out, errors = await notify_shop.run(*words, **given)
        assert 0 == status
        assert "sending" in out or "1 of about 60" in out
        assert told in errors
        assert errors.endswith("What is planned is not known. What Redis has:\n")
    status, out, _ = await notify_shop.run("status", "--json", **given)
    assert (0, [one.name]) == (status, [each["campaign"] for each in json.loads(out)["campaigns"]])
    assert told in json.loads(out)["hints"][-1]


async def test_stop_of_what_is_over(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """A campaign that is done, too late or stopped is not stopped: status 3, and nothing is written of it."""
    one = await notify_shop.opened(shop_store)
    done = await notify_shop.sent(shop_store, one, dict.fromkeys(PEOPLE[:9], (RowState.SENT, "")))
    assert await done.finish(State.DONE)
    late = await notify_shop.opened(shop_store, name="late", tickets=(), deadline=time.time() - 1)
    await NotifyEvents(shop_store).set(notify_shop.site, one.event, mail=1)
    for name, state in ((one.name, "done"), (late.name, "too late")):
        status, out, errors = await notify_shop.run("stop", name)
        assert (3, "") == (status, out)
        assert f"ticket-counter: {name} is {state} already: nothing was stopped\n" == errors
    assert [None, None] == [each.stopped_at for each in await Campaigns(shop_store).of_site(notify_shop.site)]
    found = (await notify_shop.json("status", one.name))["channels"]["mail"]
    assert (9, 9) == (found["candidates"], found["sent"])

    going = await notify_shop.opened(shop_store, name="going", tickets=())
    assert 0 == (await notify_shop.run("stop", going.name))[0]
    assert "already: nothing was stopped" in (await notify_shop.json("stop", going.name, status=3))["error"]


async def test_names_with_control_characters(notify_shop: NotifyShop) -> None:
    """A name that would control a terminal does not do so in an error."""
    status, _, errors = await notify_shop.run("preview", "x\x1b[2J\u202ey")
    assert 2 == status
    assert not {"\x1b", "\u202e"} & set(errors)
    file = notify_shop.folder / "notify.toml"
    file.write_text(file.read_text().replace('tool = "readers"\n[', 'tool = "r\\u001b[2J"\n['))
    status, _, errors = await notify_shop.run("preview", "spring-gala")
    assert 2 == status
    assert "\x1b" not in errors


def test_an_error_that_says_what_it_means(capsys: pytest.CaptureFixture[str]) -> None:
    """What an error means for what was to be done stands behind it, on one line, and with --json in an object too."""

    def fails(_: object) -> None:
        raise NotStarted("there is no relay.")

    with pytest.raises(typer.Exit) as ended:
        guarded(fails, "nothing was sent", failed="Nothing was sent.", json=True)

    found = capsys.readouterr()
    assert 2 == ended.value.exit_code
    assert "ticket-counter: there is no relay. Nothing was sent.\n" == found.err
    assert {"format": 1, "error": "there is no relay. Nothing was sent."} == json.loads(found.out)
