import re
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from server import vapid
from server.campaign import RowState
from server.cli import commands, notify
from server.keyring import KeyRing, Purpose
from server.notify.audience import kinds
from server.redis.client import RedisClient
from server.store.campaigns import Campaigns
from server.store.suppressions import Suppressions
from tests.rig.notify_shop import KEY, PEOPLE, NotifyShop
from tests.rig.process import ROOT

NAMES = {"init", "keys", "preview", "test", "send", "stop", "status", "forget", "unsuppress"}


# -- help --


def test_help() -> None:
    """The help of `notify` lists each command with a whole sentence, and says how to begin."""
    out = CliRunner().invoke(commands.app, ["notify", "--help"]).stdout

    _, _, listed = out.partition("Commands:\n")
    listed, _, begin = listed.partition("\n\n")
    found = dict(line.split(maxsplit=1) for line in listed.splitlines())
    assert (
        NAMES
        == found.keys()
        == {one.name or one.callback.__name__ for one in notify.app.registered_commands if one.callback}
    )
    assert [] == [text for text in found.values() if not re.fullmatch(r"[A-Z].+[^.]\.", text)]
    assert "ticket-counter notify init" in begin
    assert "nothing goes out later than window_hours (two unless you say otherwise) after that." in " ".join(
        out.split()
    )


@pytest.mark.parametrize("name", sorted(NAMES))
def test_help_of_command(name: str) -> None:
    """The help of each command says what it does, what each option is for, and gives an example of this command."""
    out = CliRunner().invoke(commands.app, ["notify", name, "--help"]).stdout

    assert out.startswith(f"Usage: ticket-counter notify {name}")
    _, _, options = out.partition("Options:\n")
    options, _, examples = options.partition("\n\n")
    assert [] == [line for line in options.splitlines() if re.match(r"  --[\w-]+ *[A-Z]*$", line)]
    assert f"  For example:\n    ticket-counter notify {name}" in f"\n{examples}"


def test_commands_in_texts_exist() -> None:
    """Every command of notify that a text tells people to run exists."""
    places = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("server/**/*.py")]
    named = {name for place in places for name in re.findall(r"ticket-counter notify ([a-z]+)", place.read_text())}

    assert {"init", "keys", "preview", "send", "status"} <= named
    assert named <= NAMES


# -- without Redis --


def test_init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`init` writes a first file with all kinds of tools, says what to do next, and never writes over one."""
    monkeypatch.chdir(tmp_path)
    first, again = (
        CliRunner().invoke(commands.app, ["notify", "init"], env={"NOTIFY_FILE": "first.toml"}) for _ in range(2)
    )
    text = (tmp_path / "first.toml").read_text()

    assert 0 == first.exit_code, first.stderr
    assert first.stdout.startswith(
        "first.toml is written: fill in its lines, put the lines of `ticket-counter notify keys`"
    )
    assert {"format": 1} == tomllib.loads(text)
    assert set(kinds()) == set(re.findall(r'^#kind = "(\w+)"', text, re.MULTILINE))
    assert 2 == again.exit_code
    assert "ticket-counter: the file first.toml exists already, and is left as it is\n" == again.stderr


def test_keys() -> None:
    """`keys` prints two lines for .env, with keys that can be used, other ones each time, and nothing else on standard output."""
    first, second = (CliRunner().invoke(commands.app, ["notify", "keys"]) for _ in range(2))

    assert 0 == first.exit_code
    found = dict(line.split("=", 1) for line in first.stdout.splitlines())
    assert ["NOTIFY_KEYS", "NOTIFY_VAPID_KEYS"] == list(found)
    assert KeyRing([found["NOTIFY_KEYS"]]).ids
    assert vapid.public_key(found["NOTIFY_VAPID_KEYS"])
    assert first.stdout != second.stdout


async def test_keys_on_a_terminal(notify_shop: NotifyShop) -> None:
    """On a terminal `keys` says where its lines belong, and how a key is changed."""
    status, shown = await notify_shop.on_terminal("keys")

    assert 0 == status
    assert "ticket-counter: put these lines into .env" in shown
    assert "NEW,OLD" in shown


# -- what cannot run --


async def test_wrong_input(notify_shop: NotifyShop) -> None:
    """What cannot run is one line that says what to do, on standard error, with exit status 2."""
    for words, text in (
        (
            ("preview", "nonsense"),
            "notify.toml has no event 'nonsense', so it is never announced. Its events: spring-gala",
        ),
        (("preview", "spring-gala", "--site", "y"), "no site 'y' is known"),
        (("status", "x"), "no campaign 'x' is kept: `ticket-counter notify status` lists them"),
        (("stop", "x"), "no campaign 'x' is kept"),
        (
            ("test", "me", "--event", "spring-gala"),
            "this is not an e-mail address that mail can be sent to. Nothing was sent.",
        ),
        (
            ("send", "spring-gala"),
            "where no terminal can ask, add --yes, or --dry-run to see how many would get it. Nothing",
        ),
        (("forget", "me"), "this is not an e-mail address"),
        (("unsuppress", "me"), "this is not an e-mail address"),
        (("init",), "the file notify.toml exists already, and is left as it is"),
    ):
        status, out, errors = await notify_shop.run(*words)
        assert (2, "") == (status, out)
        assert errors.startswith(f"ticket-counter: {text}")
        assert 1 == len(errors.splitlines())


async def test_wrong_usage(notify_shop: NotifyShop) -> None:
    """A missing argument or an unknown option is exit status 2 too."""
    for words in (("preview",), ("send", "x", "--no"), ("forget",)):
        status, out, errors = await notify_shop.run(*words)
        assert (2, "") == (status, out)
        assert "Usage: " in errors


async def test_settings_that_lack(notify_shop: NotifyShop) -> None:
    """A setting that a mail needs, a list that the tool does not know, and faults of the file are told, and nothing is sent."""
    status, _, errors = await notify_shop.run("test", "me@example.org", NOTIFY_SENDER_NAME="", NOTIFY_POSTAL_ADDRESS="")
    told = "NOTIFY_SENDER_NAME and NOTIFY_POSTAL_ADDRESS are not set: a mail must say who writes. Nothing was sent."
    assert (2, f"ticket-counter: {told}\n") == (status, errors)

    (notify_shop.folder / "readers.csv").unlink()
    status, _, errors = await notify_shop.run("send", "spring-gala", "--yes")
    assert (2, 1) == (status, len(errors.splitlines()))
    assert "readers.csv" in errors

    file = notify_shop.folder / "notify.toml"
    file.write_text(f'{file.read_text()}nonsense = 1\nlst = "x"\n')
    status, _, errors = await notify_shop.run("preview", "spring-gala")
    assert 2 == status
    assert 2 == len(re.findall(r"notify\.toml:\d+: ", errors))


# -- preview and test --


async def test_preview(notify_shop: NotifyShop) -> None:
    """`preview` prints four lines, writes the message in each language, and sends nothing; with --json it is one object."""
    status, out, errors = await notify_shop.run("preview", "spring-gala", "--to", "mails")

    assert (0, "") == (status, errors)
    title, message, audience, written = out.splitlines()
    assert title.startswith("Spring Gala, ")
    assert message.startswith(
        "message   Early bird and Balcony start soon after each other: one message. Texts en, de, he;"
    )
    assert "audience  csv readers.csv: 60 members, 0 suppressed here; about 60 mails" == audience
    assert written.startswith("written   mails/spring-gala.{en,de,he}.{html,txt,eml}    at 25 mails a second")
    assert 9 <= len(list((notify_shop.folder / "mails").iterdir()))
    assert [] == notify_shop.relay.mails
    assert (60, 1) == (
        (found := await notify_shop.json("preview", "spring-gala"))["audience"]["mails"],
        found["format"],
    )


async def test_test(notify_shop: NotifyShop) -> None:
    """`test` sends one mail and says where to look; where the relay refuses, its status is 4, and why is told."""
    status, out, errors = await notify_shop.run("test", "me@example.org", "--event", "spring-gala", "--language", "de")
    assert (0, "") == (status, errors)
    assert f"accepted by the relay, as {notify_shop.mail()['Message-ID']}. Now look at" in out
    assert "Authentication-Results" in out

    notify_shop.relay.on("mail", "550 5.7.1 sender not allowed")
    status, out, _ = await notify_shop.run("test", "me@example.org", "--event", "spring-gala")
    assert 4 == status
    assert out.startswith("not sent: ")
    found = await notify_shop.json("test", "me@example.org", "--event", "spring-gala", status=4)
    assert "server fault" == found["result"]


# -- stop, status, forget --


async def test_stop_and_status(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """`status` shows all campaigns or one, `stop` stops one in the name of who runs it; with --exit-code a person who is needed is 4."""
    one = await notify_shop.opened(shop_store)
    status, out, errors = await notify_shop.run("status", "--exit-code")
    assert (0, "") == (status, errors)
    assert re.search(rf"^{re.escape(one.name)} +mail +gathering +0 ", out, re.MULTILINE)
    assert re.search(r"^autumn-ball +- +planned ", out, re.MULTILINE)

    await notify_shop.sent(shop_store, one, {PEOPLE[0]: (RowState.SENT, ""), PEOPLE[1]: (RowState.UNKNOWN, "")})
    status, out, _ = await notify_shop.run("status", one.name, "--exit-code")
    assert 4 == status
    assert out.startswith("mail      --------------------    2 of about 60    about 2 s    until ")
    assert "In the relay's log: <tc." in out
    assert 0 == (await notify_shop.run("status", one.name))[0]

    status, out, _ = await notify_shop.run("stop", one.name)
    assert 0 == status
    assert out.startswith(f"{one.name} is stopped; what is in flight still arrives. Not sent: 58 by mail.")
    found = await notify_shop.json("status", one.name)
    assert ("stopped", 60, 1, 1) == (
        found["state"],
        *(found["channels"]["mail"][each] for each in ("candidates", "sent", "unknown")),
    )
    assert found["stopped_by"]
    assert [one.name] == [each["campaign"] for each in (await notify_shop.json("status"))["campaigns"]]


async def test_forget(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """`forget` says what was deleted, and that the suppression stays."""
    hashes = notify_shop.keyring.hashes(Purpose.SUPPRESSION, "csv readers.csv", PEOPLE[0])
    await Suppressions(shop_store).add(notify_shop.site, hashes, "opted out")
    status, out, errors = await notify_shop.run("forget", PEOPLE[0])

    assert (0, "") == (status, errors)
    assert out.startswith("Deleted: 0 rows of campaigns, 0 requests on the way to a tool.\nA suppression stays")
    assert {"format": 1, "rows": 0, "requests": 0, "kept": [], "unreadable": 0} == await notify_shop.json(
        "forget", PEOPLE[0]
    )
    assert await Suppressions(shop_store).has(notify_shop.site, hashes)
    assert "59 mails" in (await notify_shop.run("preview", "spring-gala"))[1]


async def test_unsuppress(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """Who left a list and wants mails again is counted in the audience again, and no key is needed for it any more."""
    hashes = notify_shop.keyring.hashes(Purpose.SUPPRESSION, "csv readers.csv", PEOPLE[0])
    await Suppressions(shop_store).add(notify_shop.site, hashes, "opted out")
    assert "59 mails" in (await notify_shop.run("preview", "spring-gala"))[1]
    status, out, errors = await notify_shop.run("unsuppress", PEOPLE[0])

    assert (0, "") == (status, errors)
    assert out.startswith("This person may get mails of 1 list again")
    assert not await Suppressions(shop_store).has(notify_shop.site, hashes)
    assert "60 mails" in (await notify_shop.run("preview", "spring-gala"))[1]
    assert {"format": 1, "lists": 0} == await notify_shop.json("unsuppress", PEOPLE[0])
    assert "has left no list" in (await notify_shop.run("unsuppress", PEOPLE[0]))[1]


# -- no output betrays --


async def test_no_address_and_no_secret_in_any_output(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """No subscriber's address and no secret is in any output of any command: text, JSON, errors or debug log."""
    one = await notify_shop.opened(shop_store, tickets=())
    await notify_shop.sent(shop_store, one, dict.fromkeys(PEOPLE, (RowState.UNKNOWN, "no answer")))
    secrets = {KEY, *notify_shop.environment["NOTIFY_VAPID_KEYS"].split(",")}
    for words in (
        ("preview", "spring-gala"),
        ("preview", "spring-gala", "--json"),
        ("status",),
        ("status", one.name),
        ("status", one.name, "--json"),
        ("send", "spring-gala", "--dry-run"),
        ("send", "spring-gala", "--yes", "--json"),
        ("stop", one.name, "--json"),
        ("forget", PEOPLE[0]),
        ("forget", PEOPLE[0], "--json"),
        ("unsuppress", PEOPLE[0]),
        ("test", PEOPLE[1], "--event", "spring-gala", "--json"),
    ):
        _, out, errors = await notify_shop.run(*words, LOG_LEVEL="DEBUG")
        assert "@people.example" not in out + errors, words
        assert [] == [one for one in secrets if one in out + errors], words
    assert await Campaigns(shop_store).of_site(notify_shop.site)
