import asyncio
import json
import os
import pty
import re
import signal
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from server.sync.model import Outcome, Plan
from server.sync.reports import Summary
from server.sync.service import Progress, Sync
from tests.rig.process import ROOT, Command, Run
from tests.rig.server import until
from tests.rig.sync_shop import SyncShop


async def digest(shop: SyncShop) -> str:
    """The digest of the plan as it is now."""
    _, out, _ = await shop.run("plan", shop.slug, "--json")
    return str(json.loads(out)["digest"])


def records(shop: SyncShop) -> int:
    return len(shop.sql("SELECT id FROM tickets"))


async def test_apply_without_terminal_needs_an_approval(sync_shop: SyncShop) -> None:
    """Where no terminal can ask, apply needs --plan or --yes: without, it writes nothing and says so, with status 2."""
    for words in ((), ("--json",)):
        status, out, errors = await sync_shop.run("apply", sync_shop.slug, *words)
        assert (2, "") == (status, out)
        assert errors.startswith("ticket-counter: nothing was written: ")
        assert 1 == len(errors.splitlines())
    status, shown = await sync_shop.on_terminal("apply", sync_shop.slug, "--json")
    assert 2 == status
    assert "nothing was written" in shown
    assert 0 == records(sync_shop)


async def test_apply_of_a_plan(sync_shop: SyncShop) -> None:
    """With --plan exactly the plan of that digest is done: an older one writes nothing, shows the new plan, and is status 4."""
    old = await digest(sync_shop)
    sync_shop.sql("INSERT INTO tickets (event, name) VALUES ('ev1', 'Crew only')")

    status, out, errors = await sync_shop.run("apply", sync_shop.slug, "--plan", old)
    new = await digest(sync_shop)
    assert 4 == status
    assert f"Plan {new}\n" in out
    assert (
        f"ticket-counter: nothing was written: the plan is {new} by now, not {old}. Look at it, and apply that one\n"
        == errors
    )
    status, out, _ = await sync_shop.run("apply", sync_shop.slug, "--plan", old, "--json")
    assert 4 == status
    found = json.loads(out)
    assert [1, "other_digest", new, True] == [found[one] for one in ("format", "type", "digest", "person_needed")]
    assert 1 == records(sync_shop)

    status, out, errors = await sync_shop.run("apply", sync_shop.slug, "--plan", new.upper(), "--adopt")
    assert (0, "") == (status, errors)
    assert 8 == records(sync_shop)


async def test_apply_prints_each_operation(sync_shop: SyncShop) -> None:
    """Without a terminal each operation is a line, then come the sum and what happens from then on; nothing is a bar.

    Here no worker follows, and that is what is said.
    """
    status, out, errors = await sync_shop.run("apply", sync_shop.slug, "--yes")

    *lines, done, further = out.splitlines()
    assert (0, "", 8) == (status, errors, len(lines))
    assert "+ create      General admission   11111111-aaaa-4aaa-8aaa-000000000001   record 3" in lines
    assert done.startswith("Done: 8 create, in ")
    assert (
        "box-office: no worker runs, so changes in Wix are not applied: start `ticket-counter serve` or `worker`"
        == further
    )


async def test_apply_as_json(sync_shop: SyncShop) -> None:
    """`apply --json` has a line for each operation and the sum last; what only a person can decide makes the status 4."""
    sync_shop.sql("INSERT INTO tickets (event, name) VALUES ('ev1', 'Crew only')")

    status, out, errors = await sync_shop.run("apply", sync_shop.slug, "--yes", "--json")
    found: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    assert (4, "", 9) == (status, errors, len(found))
    assert {1} == {one["format"] for one in found}
    assert ["operation"] * 8 + ["sum"] == [one["type"] for one in found]
    (left,) = (one for one in found[:-1] if one["state"] != "equal")
    assert "Crew only" == left["name"]
    assert left["cure"].startswith(f"ticket-counter sync adopt {left['ticket']} --to box-office --record ")
    assert left["cure"].endswith(f"(or ticket-counter sync apply {found[-1]['event']} --to box-office --adopt)")
    assert [{"create": 7}, 1, True] == [found[-1][one] for one in ("done", "open", "person_needed")]


async def test_question(sync_shop: SyncShop) -> None:
    """On a terminal the plan is shown and a question asked: `y` does it, with a bar, and the sum."""
    status, shown = await sync_shop.on_terminal("apply", sync_shop.slug, typed="y\n")

    plan, _, after = shown.partition("Do it? [y/N] ")
    assert 0 == status
    assert "+ create    \x1b[0m  General admission   11111111   25.00 USD" in plan
    assert "8 create. Plan " in plan
    assert "8/8" in after
    assert "Done: 8 create, in " in after
    assert 8 == records(sync_shop)


@pytest.mark.parametrize("typed", ["n\n", "\n", "yess\n", "\x04"])
async def test_question_that_is_not_answered_yes(sync_shop: SyncShop, typed: str) -> None:
    """Any other answer, and the end of the input, writes nothing: status 4, as a person has not agreed."""
    status, shown = await sync_shop.on_terminal("apply", sync_shop.slug, typed=typed)

    assert 4 == status
    assert shown.endswith("Nothing was written.\n")
    assert 0 == records(sync_shop)


async def test_what_is_left_on_a_terminal(sync_shop: SyncShop) -> None:
    """On a terminal the bar is followed by what was not done, and why, and names are no markup."""
    sync_shop.sql(
        "CREATE TRIGGER no BEFORE INSERT ON tickets WHEN NEW.name = 'Late bird' BEGIN SELECT RAISE(ABORT, '[b]no[/b]'); END"
    )

    status, shown = await sync_shop.on_terminal("apply", sync_shop.slug, "--yes", columns=160, NO_COLOR="1")
    assert 4 == status
    assert "! refused     Late bird           77777777   400 box-office.db: [b]no[/b]\n" in shown
    assert "+ create" not in shown
    assert "1 not done: `ticket-counter sync parked` and `sync plan` say why, and what to do.\n" in shown


async def test_what_to_know_on_a_terminal(sync_shop: SyncShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the bar is followed by what was done with something that a person should know, too."""
    apply = Sync.apply

    async def told(self: Sync, plan: Plan, *, progress: Progress, **given: Any) -> Summary:
        def tell(outcome: Outcome, done: int, total: int) -> None:
            late = outcome.operation.name == "Late bird"
            progress(replace(outcome, text="replaces record 3") if late else outcome, done, total)

        return await apply(self, plan, progress=tell, **given)

    monkeypatch.setattr(Sync, "apply", told)

    status, shown = await sync_shop.on_terminal("apply", sync_shop.slug, "--yes", columns=160, NO_COLOR="1")
    assert 0 == status
    assert re.search(r"\+ create +Late bird +77777777 +record \d+; replaces record 3\n", shown)
    assert 1 == shown.count("+ create")


async def test_observed_target(sync_shop: SyncShop) -> None:
    """A target that is only observed is not applied to: status 2."""
    file = sync_shop.folder / "sync.toml"
    file.write_text(file.read_text() + 'mode = "observe"\n')

    status, out, errors = await sync_shop.run("apply", sync_shop.slug, "--yes")
    assert (2, "") == (status, out)
    assert 'ticket-counter: box-office has mode = "observe" in SYNC_FILE, so nothing is ever written to it\n' == errors


async def test_too_small_a_number(sync_shop: SyncShop) -> None:
    """A number of deactivations that is below the plan's is refused, with the number: status 2."""
    await sync_shop.run("apply", sync_shop.slug, "--yes")
    status, _, errors = await sync_shop.run("apply", sync_shop.slug, "--yes", "--deactivate", "0")
    assert (0, "") == (status, errors)


async def test_replace_of_an_unknown_ticket(sync_shop: SyncShop) -> None:
    """--replace takes the id of a ticket, or how it begins: anything else is status 2, and nothing is written."""
    status, _, errors = await sync_shop.run("apply", sync_shop.slug, "--yes", "--replace", "1111", "--replace", "xy")

    assert 2 == status
    assert errors.startswith("ticket-counter: 'xy' is not a ticket definition id")
    assert 0 == records(sync_shop)


PROGRAM = """
import os
from docs.sqlite_target import SqliteTarget
from server.cli import main
from server.sync.targets import KINDS

class Slow(SqliteTarget):
    DEFAULTS = 'secret = "secret_env"\\n' + SqliteTarget.DEFAULTS

    async def create(self, *given):
        import asyncio
        await asyncio.sleep({seconds})
        return await super().create(*given)

KINDS["sqlite"] = Slow
os.chdir({folder!r})
main()
"""


ON_TERMINAL = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
"""Makes standard input the terminal that controls the process: Ctrl+C there becomes a signal."""

CLAIMS = "tc:{{{}}}:sync:box-office:leased"
"""The key of what a process brings to the target at the moment."""


def slow_apply(shop: SyncShop, command: Run, seconds: float) -> Command:
    """A process that applies the event to a box office which takes so long to create each record."""
    return command(
        "sync",
        "apply",
        shop.slug,
        "--yes",
        program=PROGRAM.format(folder=str(shop.folder), seconds=seconds),
        REDIS_URL=shop.redis.url,
        BOX_OFFICE_SECRET="s",
    )


async def test_interrupted(sync_shop: SyncShop, command: Run) -> None:
    """Ctrl+C ends an apply with status 130 and a sentence; run again it goes on where it stopped, without doubles."""
    applying = slow_apply(sync_shop, command, seconds=0.3)
    await applying.says("record 2")
    status, _ = await applying.stop(signal.SIGINT)

    assert 130 == status
    assert [
        "ticket-counter: stopping after the ticket at hand; Ctrl+C again stops at once",
        "ticket-counter: interrupted: what was written stays, and the same command goes on from there, without doubles",
    ] == applying.err.splitlines()
    assert 2 < records(sync_shop) < 8
    status, _, _ = await sync_shop.run("apply", sync_shop.slug, "--yes")
    assert 0 == status
    assert 8 == records(sync_shop)
    assert 8 == sync_shop.sql("SELECT COUNT(DISTINCT wix_id) FROM tickets")[0][0]


async def test_interrupted_twice(sync_shop: SyncShop, command: Run) -> None:
    """A second Ctrl+C ends an apply at once, with status 130."""
    applying = slow_apply(sync_shop, command, seconds=60)
    await until(
        lambda: applying.process.poll() is not None or sync_shop.redis.ask("EXISTS", CLAIMS.format(sync_shop.wix.site))
    )
    applying.process.send_signal(signal.SIGINT)
    await applying.says("Ctrl+C again stops at once")
    status, seconds = await applying.stop(signal.SIGINT)

    assert 130 == status
    assert seconds < 5
    assert "interrupted: what was written stays" in applying.err
    assert 0 == records(sync_shop)


async def test_interrupted_question(sync_shop: SyncShop) -> None:
    """Ctrl+C at the question is status 130, and nothing was written."""
    keyboard, end = pty.openpty()
    try:
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                ON_TERMINAL + PROGRAM.format(folder=str(sync_shop.folder), seconds=0),
                "sync",
                "apply",
                sync_shop.slug,
            ],
            env={**os.environ, "REDIS_URL": sync_shop.redis.url, "BOX_OFFICE_SECRET": "s", "PYTHONPATH": str(ROOT)},
            stdin=end,
            stdout=end,
            stderr=end,
            start_new_session=True,
        )
        shown = b""
        while b"Do it?" not in shown:
            shown += await asyncio.to_thread(os.read, keyboard, 4096)
        os.write(keyboard, b"\x03")
        status = await asyncio.to_thread(process.wait, 10)
        shown = os.read(keyboard, 4096)
    finally:
        os.close(end)
        os.close(keyboard)

    assert 130 == status
    assert shown.endswith(b"ticket-counter: interrupted: nothing was written\r\n")
    assert 0 == records(sync_shop)
