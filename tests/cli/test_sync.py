import json
import re
import time
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner

from docs.sqlite_target import SqliteTarget
from server import settings
from server.cli import commands
from server.cli.sync_service import opened
from tests.rig.process import ROOT
from tests.rig.redis import free_port
from tests.rig.sync_shop import SECRET, SyncShop

NAMES = {"init", "plan", "apply", "diff", "status", "parked", "retry", "adopt", "pause", "resume", "conformance"}


async def applied(shop: SyncShop) -> SyncShop:
    """The shop after its first apply: eight records, all equal."""
    status, _, errors = await shop.run("apply", shop.slug, "--yes")
    assert (0, "") == (status, errors)
    return shop


def ticket_of(shop: SyncShop, name: str) -> str:
    return str(shop.sql("SELECT wix_id FROM tickets WHERE name = ?", name)[0][0])


async def parsed(shop: SyncShop, *words: str) -> dict[str, Any]:
    """The one object that a command prints with --json."""
    _, out, _ = await shop.run(*words, "--json")
    (line,) = out.splitlines()
    return dict(json.loads(line))


# -- help --


def test_help() -> None:
    """The help of `sync` lists each command with a whole sentence, and says how to begin."""
    out = CliRunner().invoke(commands.app, ["sync", "--help"]).stdout

    _, _, listed = out.partition("Commands:\n")
    listed, _, begin = listed.partition("\n\n")
    found = dict(line.split(maxsplit=1) for line in listed.splitlines())
    assert NAMES == found.keys()
    assert [] == [text for text in found.values() if not re.fullmatch(r"[A-Z].+[^.]\.", text)]
    assert "ticket-counter sync init" in begin


@pytest.mark.parametrize("name", sorted(NAMES))
def test_help_of_command(name: str) -> None:
    """The help of each command says what it does, what each option is for, and gives an example of this command."""
    out = CliRunner().invoke(commands.app, ["sync", name, "--help"]).stdout

    assert out.startswith(f"Usage: ticket-counter sync {name}")
    _, _, options = out.partition("Options:\n")
    options, _, examples = options.partition("\n\n")
    assert [] == [line for line in options.splitlines() if re.match(r"  --[\w-]+ *[A-Z]*$", line)]
    assert f"  For example:\n    ticket-counter sync {name}" in f"\n{examples}"


def test_commands_in_texts_exist() -> None:
    """Every command of sync that a text tells people to run exists."""
    places = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("server/**/*.py")]
    named = {name for place in places for name in re.findall(r"ticket-counter sync ([a-z]+)", place.read_text())}

    assert {"init", "plan", "apply", "retry"} <= named
    assert named <= NAMES


# -- what cannot run --


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("plan", "nonsense"), "no event 'nonsense' is known: give its id, or its slug"),
        (("plan", "nonsense", "--to", "shop"), "there is no target 'shop': SYNC_FILE has box-office"),
        (("plan", "x", "--site", "y"), "no site 'y' is known"),
        (("retry", "x"), "'x' is not a ticket definition id, nor the first 4 or more characters of one"),
        (("retry", "abcdef"), "no ticket is stored whose id begins with 'abcdef'"),
        (("pause", "shop", "--reason", "r"), "there is no target 'shop'"),
        (("init",), "the file sync.toml exists already, and is left as it is"),
        (("init", "--kind", "fax"), "there is no kind"),
    ],
)
async def test_wrong_input(sync_shop: SyncShop, words: tuple[str, ...], text: str) -> None:
    """What cannot run is one line that says what to do, on standard error, with exit status 2; candidates are indented below it."""
    status, out, errors = await sync_shop.run(*words)

    assert (2, "") == (status, out)
    first, *candidates = errors.splitlines()
    assert first.startswith(f"ticket-counter: {text}")
    assert [] == [line for line in candidates if not line.startswith("  ")]


@pytest.mark.parametrize("words", [("plan",), ("plan", "x", "--no"), ("adopt", "x"), ("pause", "box-office")])
async def test_wrong_usage(sync_shop: SyncShop, words: tuple[str, ...]) -> None:
    """A missing argument or an unknown option is exit status 2 too."""
    status, out, errors = await sync_shop.run(*words)

    assert (2, "") == (status, out)
    assert "Usage: " in errors


async def test_redis_unavailable(sync_shop: SyncShop) -> None:
    """A Redis that does not answer is one line, with exit status 2; so is none at all."""
    status, _, errors = await sync_shop.run("status", REDIS_URL="redis://127.0.0.1:1")
    assert (2, 1) == (status, len(errors.splitlines()))
    assert errors.startswith("ticket-counter: Redis did not take")

    status, _, errors = await sync_shop.run("status", REDIS_URL="")
    assert (2, 1) == (status, len(errors.splitlines()))
    data = sync_shop.folder / "data"
    assert errors.startswith(f"ticket-counter: no `ticket-counter serve` runs with DATA_DIR={data}, and REDIS_URL")


async def test_faults_of_the_mapping(sync_shop: SyncShop) -> None:
    """All faults of SYNC_FILE are told at once, with the line, and exit status 2."""
    file = sync_shop.folder / "sync.toml"
    file.write_text(file.read_text() + 'nonsense = 1\nurl = "x"\n')

    status, _, errors = await sync_shop.run("plan", sync_shop.slug)
    assert 2 == status
    assert 2 == len(re.findall(r"sync\.toml:\d+: ", errors))


# -- plan --


async def test_plan(sync_shop: SyncShop) -> None:
    """`plan` prints what would be done and how to do it; it writes nothing, and tells differences by its status only if asked."""
    status, out, errors = await sync_shop.run("plan", sync_shop.slug)

    assert (0, "") == (status, errors)
    assert "+ create      General admission   11111111-aaaa-4aaa-8aaa-000000000001   25.00 USD, places 120\n" in out
    digest = re.findall(r"^8 create\. Plan ([0-9a-f]{6})$", out, re.MULTILINE)[0]
    assert out.endswith(f"\nTo do it: ticket-counter sync apply {sync_shop.slug} --to box-office --plan {digest}\n")
    assert [] == sync_shop.sql("SELECT * FROM tickets")
    status, _, _ = await sync_shop.run("plan", sync_shop.slug, "--exit-code")
    assert 3 == status


async def test_plan_as_json(sync_shop: SyncShop) -> None:
    """`plan --json` is one object of format 1, and the same plan has the same digest."""
    first, again = [await parsed(sync_shop, "plan", sync_shop.wix.event, "--to", "box-office") for _ in range(2)]

    assert [1, 8, "box-office", sync_shop.wix.event] == [
        first["format"],
        len(first["operations"]),
        first["target"],
        first["event"],
    ]
    assert first["digest"] == again["digest"]


async def test_plan_on_a_terminal(sync_shop: SyncShop) -> None:
    """On a terminal ids are short and operations have colours; with NO_COLOR they have none."""
    _, coloured = await sync_shop.on_terminal("plan", sync_shop.slug, "--site", sync_shop.wix.site)
    _, plain = await sync_shop.on_terminal("plan", sync_shop.slug, NO_COLOR="1")

    assert "\x1b[32m+ create    \x1b[0m  General admission   11111111   25.00 USD" in coloured
    assert f" --site {sync_shop.wix.site}" in coloured
    assert "\n+ create      General admission   11111111   25.00 USD" in plain
    assert "\x1b" not in plain


async def test_plan_of_a_conflict(sync_shop: SyncShop) -> None:
    """With --exit-code a conflict is 4, and equal is 0."""
    await applied(sync_shop)
    status, out, _ = await sync_shop.run("plan", sync_shop.slug, "--exit-code")
    assert 0 == status
    assert "8 equal.\nNothing to do. Plan " in out

    copy_record(sync_shop, "Student pass")
    status, out, _ = await sync_shop.run("plan", sync_shop.slug, "--exit-code")
    assert 4 == status
    assert "! conflict" in out
    assert (
        "                decide: ticket-counter sync adopt 44444444-aaaa-4aaa-8aaa-000000000004 --to box-office --record 8"
        in out
    )
    status, _, _ = await sync_shop.run("plan", sync_shop.slug)
    assert 0 == status


def copy_record(shop: SyncShop, name: str) -> None:
    """Copy a record in the box office, with the Wix id that it bears."""
    shop.sql(
        "INSERT INTO tickets (event, wix_id, name, price, active) SELECT event, wix_id, name, price, active "
        "FROM tickets WHERE name = ?",
        name,
    )


async def test_plan_of_a_target_that_is_observed(sync_shop: SyncShop) -> None:
    """A target that is only observed is planned, and the plan says that nothing is written."""
    file = sync_shop.folder / "sync.toml"
    file.write_text(file.read_text() + 'mode = "observe"\n')

    status, out, _ = await sync_shop.run("plan", sync_shop.slug)
    assert 0 == status
    assert out.endswith('\nbox-office has mode = "observe": nothing is ever written to it.\n')


# -- diff --


async def test_diff(sync_shop: SyncShop) -> None:
    """`diff` shows what was edited in the target, field by field, and nothing else; its status is 3 if that is asked for."""
    await applied(sync_shop)
    status, out, _ = await sync_shop.run("diff", sync_shop.slug, "--exit-code")
    assert (0, "No field differs; 8 tickets are equal.\n") == (status, out)

    sync_shop.sql("UPDATE tickets SET price = '99.00', places = 7 WHERE name = 'General admission'")
    status, out, _ = await sync_shop.run("diff", sync_shop.slug, "--exit-code")
    assert 3 == status
    first, _, price, places, last = out.splitlines()
    assert "General admission 11111111-aaaa-4aaa-8aaa-000000000001, record 3" == first
    assert ["price", "25.00 USD", "25.00 USD", "99.00 USD", "edited in box-office"] == re.split("   +", price.strip())
    assert ["places", "120", "120", "7", "edited in box-office"] == re.split("   +", places.strip())
    assert "2 fields of 1 ticket differ; 7 tickets are equal." == last
    status, _, _ = await sync_shop.run("diff", sync_shop.slug)
    assert 0 == status


async def test_diff_as_json(sync_shop: SyncShop) -> None:
    """`diff --json` has the three sides of each field; a conflict makes the status 4."""
    await applied(sync_shop)
    sync_shop.sql("UPDATE tickets SET price = '99.00' WHERE name = 'General admission'")
    copy_record(sync_shop, "Student pass")

    found = await parsed(sync_shop, "diff", sync_shop.slug)
    assert [1, 6, 1] == [found["format"], found["equal"], found["without"]]
    assert [{"name": "price", "wix": "25.00", "applied": "25.00", "target": "99.00"}] == found["tickets"][0]["fields"]
    status, _, _ = await sync_shop.run("diff", sync_shop.slug, "--exit-code", "--json")
    assert 4 == status


# -- status, parked, retry --


async def served(shop: SyncShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker says that follows the target."""
    monkeypatch.chdir(shop.folder)
    monkeypatch.setenv("BOX_OFFICE_SECRET", SECRET)
    async with opened(settings.load(redis_url=shop.redis.url)) as sync:
        target = sync.target("box-office")
        await sync.service.stores.targets.served(target.name, target.digest, time.time())


async def test_status(sync_shop: SyncShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """`status` says how to begin, then that no worker follows, so that nothing is known, and where one does that all is equal.

    Only that is status 0 with --exit-code.
    """
    status, out, _ = await sync_shop.run("status", "--exit-code")
    assert "No event is synced to box-office before its first `ticket-counter sync apply`." in out
    assert 3 == status

    await applied(sync_shop)
    status, out, _ = await sync_shop.run("status", "--exit-code")
    assert 3 == status
    assert re.search(r"^box-office   not known   not asked now +0   - +0 +0   just now   no worker$", out, re.MULTILINE)
    assert "box-office: no worker runs, so changes in Wix are not applied" in out

    await served(sync_shop, monkeypatch)
    status, out, _ = await sync_shop.run("status", "--exit-code")
    assert 0 == status
    assert re.search(r"^box-office   8 of 8   yes, \d+ ms +0   - +0 +0   just now   running$", out, re.MULTILINE)
    found = (await parsed(sync_shop, "status"))["targets"][0]
    assert ["box-office", 8, 8, 0, None] == [found[one] for one in ("name", "records", "equal", "parked", "paused")]


async def test_parked_and_retry(sync_shop: SyncShop) -> None:
    """What the target refuses is parked with its words; after its cause is gone `retry` makes it due."""
    sync_shop.sql(
        "CREATE TRIGGER no BEFORE INSERT ON tickets WHEN NEW.name = 'Late bird' BEGIN SELECT RAISE(ABORT, 'no birds'); END"
    )
    status, out, _ = await sync_shop.run("apply", sync_shop.slug, "--yes")
    assert 4 == status
    assert (
        "! refused     Late bird           77777777-aaaa-4aaa-8aaa-000000000007   400 box-office.db: no birds\n" in out
    )
    assert "1 not done: `ticket-counter sync parked` and `sync plan` say why, and what to do.\n" in out

    status, out, _ = await sync_shop.run("parked", "--to", "box-office")
    assert 0 == status
    assert re.match(
        r"box-office   Late bird   77777777-\S+   refused   \d\d:\d\d, try 1   400 box-office.db: no birds\n", out
    )
    assert ["refused"] == [one["state"] for one in (await parsed(sync_shop, "parked"))["parked"]]
    status, _, _ = await sync_shop.run("status", "--exit-code")
    assert 4 == status

    sync_shop.sql("DROP TRIGGER no")
    status, out, _ = await sync_shop.run("retry", "7777", "--to", "box-office")
    assert (0, "1 ticket is due again: `ticket-counter sync status` shows what becomes of it.\n") == (status, out)
    assert {"format": 1, "due": 0} == await parsed(sync_shop, "retry")
    status, out, _ = await sync_shop.run("apply", sync_shop.slug, "--yes")
    assert 0 == status
    assert (0, "Nothing is parked.\n", "") == await sync_shop.run("parked")


# -- decisions --


async def test_adopt(sync_shop: SyncShop) -> None:
    """`adopt` gives the record that a person chose the id, takes it from the other, and says what was done."""
    await applied(sync_shop)
    copy_record(sync_shop, "Student pass")

    status, out, errors = await sync_shop.run("adopt", "4444", "--record", "9")
    assert (0, "") == (status, errors)
    assert re.match(
        r"[~@] \w+ +Student pass   44444444-aaaa-4aaa-8aaa-000000000004   record 9; record 8 lost its id and .+\n", out
    )
    assert [(8, ""), (9, "44444444-aaaa-4aaa-8aaa-000000000004")] == sync_shop.sql(
        "SELECT id, wix_id FROM tickets WHERE name = 'Student pass' ORDER BY id"
    )
    found = await parsed(sync_shop, "adopt", "44444444-AAAA-4aaa-8aaa-000000000004", "--record", "9")
    assert [1, "operation", "equal"] == [found["format"], found["type"], found["state"]]


async def test_adopt_that_leaves_something_to_do(sync_shop: SyncShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left for a person after `adopt` is a whole command, as text and as JSON: it is run as it stands there."""
    monkeypatch.setattr(SqliteTarget, "abilities", replace(SqliteTarget.abilities, changes_options=False))
    await applied(sync_shop)
    sync_shop.sql("INSERT INTO tickets (event, name) VALUES ('ev1', 'Without options')")
    ticket = ticket_of(sync_shop, "Family day")

    status, out, _ = await sync_shop.run("adopt", ticket, "--record", "9")
    assert 4 == status
    assert "  to do: ticket-counter sync apply " in out
    cure = (await parsed(sync_shop, "adopt", ticket, "--record", "9"))["cure"]
    found = re.match(rf"ticket-counter sync (apply \S+ --to box-office --replace {ticket}) \(", cure)
    assert found, cure
    assert found[0] in out
    assert 0 == (await sync_shop.run(*found[1].split(), "--yes"))[0]


async def test_pause_and_resume(sync_shop: SyncShop) -> None:
    """A pause shows its reason to all who ask for the status, until it is ended; with --json both are objects."""
    status, out, _ = await sync_shop.run("pause", "box-office", "--reason", "moving [bold]house[/bold]")
    assert 0 == status
    assert (
        "box-office is paused: changes are remembered, and applied after `ticket-counter sync resume box-office`.\n"
        == out
    )
    assert "paused for 0." in (await sync_shop.run("status"))[1]
    assert '"moving [bold]house[/bold]"' in (await sync_shop.run("status"))[1]

    assert (0, "box-office is no longer paused.\n", "") == await sync_shop.run("resume", "box-office")
    assert {"format": 1, "target": "box-office", "paused": "x"} == await parsed(
        sync_shop, "pause", "box-office", "--reason", "x"
    )
    assert {"format": 1, "target": "box-office", "paused": None} == await parsed(sync_shop, "resume", "box-office")
    assert (await sync_shop.run("status"))[1].rstrip().splitlines()[1].endswith("no worker")


@pytest.mark.parametrize("kind", ["pretix", "http"])
async def test_init(sync_shop: SyncShop, kind: str) -> None:
    """`init` writes a first file of that kind, says what to do next, and never writes over one."""
    status, out, errors = await sync_shop.run("init", "--kind", kind, SYNC_FILE="first.toml")

    assert (0, "") == (status, errors)
    first, _, *steps = out.splitlines()
    assert (
        f"first.toml is written: an example of a {kind} target, in which everything is still switched off by a #."
        == first
    )
    assert any(
        f"from [targets.{kind}-main] to events, and fill in: " in line and " url, " in f" {line}" for line in steps
    )
    assert any(f"{kind.upper()}_MAIN_{'TOKEN' if kind == 'pretix' else 'SECRET'}=…" in line for line in steps)
    assert any("Run `ticket-counter sync plan EVENT`" in line for line in steps)
    assert f'kind = "{kind}"' in (sync_shop.folder / "first.toml").read_text()
    assert 2 == (await sync_shop.run("init", SYNC_FILE="first.toml"))[0]


async def test_no_target(sync_shop: SyncShop) -> None:
    """A file without a target, and a file that does not exist, say what writes a first one."""
    (sync_shop.folder / "sync.toml").write_text("format = 1\n")
    status, _, errors = await sync_shop.run("status")
    assert 2 == status
    assert "ticket-counter: the file sync.toml has no target: `ticket-counter sync init` writes an example\n" == errors

    (sync_shop.folder / "sync.toml").unlink()
    status, _, errors = await sync_shop.run("status")
    assert 2 == status
    assert "`ticket-counter sync init` writes a first one" in errors


# -- no output betrays --


async def test_no_secret_in_any_output(sync_shop: SyncShop) -> None:
    """The secret of a target is in no output of any command: text, JSON, errors or debug log."""
    commands_ = [
        ("plan", sync_shop.slug),
        ("plan", sync_shop.slug, "--json"),
        ("apply", sync_shop.slug, "--yes", "--json"),
        ("diff", sync_shop.slug, "--json"),
        ("status", "--json"),
        ("parked", "--json"),
        ("retry",),
        ("pause", "box-office", "--reason", "r"),
        ("resume", "box-office"),
        ("plan", "nonsense"),
    ]
    for words in commands_:
        _, out, errors = await sync_shop.run(*words, LOG_LEVEL="DEBUG")
        assert SECRET not in out + errors, words
        assert "WithSecret" not in out + errors, words


async def test_names_from_outside(sync_shop: SyncShop) -> None:
    """A record's name cannot control the terminal, is no markup and no format, and right-to-left text keeps its characters."""
    await applied(sync_shop)
    name = "\x1b[31m[bold]שלום[/bold] {0} 🎟️\u202e"
    sync_shop.sql("UPDATE tickets SET name = ? WHERE name = 'General admission'", name)

    for words in (("plan", sync_shop.slug), ("diff", sync_shop.slug)):
        _, out, _ = await sync_shop.run(*words)
        assert "[bold]שלום[/bold] {0} 🎟️" in out
        assert not {"\x1b", "\u202e"} & set(out)
        _, shown = await sync_shop.on_terminal(*words, columns=200, NO_COLOR="1")
        assert "[bold]שלום[/bold] {0} 🎟️" in shown
        assert not {"\x1b", "\u202e"} & set(shown)
    found = await parsed(sync_shop, "plan", sync_shop.slug)
    assert name == found["operations"][0]["fields"][0]["target"]


async def test_plan_of_a_target_that_is_away(sync_shop: SyncShop) -> None:
    """Where the target does not answer, `sync plan` says why and what to do, in our own words."""
    sync_shop.environment["BOX_OFFICE_SECRET"] = "whsec_YS1zZWNyZXQtb2YtdGhlLXNob3AtZm9yLXRlc3RzLTMy"
    (sync_shop.folder / "sync.toml").write_text(
        f"""format = 1
[targets.shop]
kind = "http"
url = "http://127.0.0.1:{free_port()}/tickets"
allow_http = true
allow_private = true
secret_env = "BOX_OFFICE_SECRET"
events = {{ "{sync_shop.slug}" = "ev1" }}
"""
    )

    status, out, errors = await sync_shop.run("plan", sync_shop.slug)

    assert (2, "") == (status, out)
    assert "was not sent: it refuses connections (127.0.0.1): see whether its server runs" in errors
    assert "ConnectError" not in errors
