import asyncio
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, aclosing, chdir
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from server import settings_table, valkey, wire
from server.cli import commands
from server.model import Hint, SiteId, TicketId
from server.settings import Settings
from server.store.timing import micros
from tests.rig.commands import logs_as_before
from tests.rig.default_keys import channel, key
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.process import ROOT, SETTINGS, Command, Run
from tests.rig.redis import RedisServer, free_port
from tests.rig.server import OTHER, SITE, TICKET, until
from tests.rig.signals import signal_when

COMMANDS = {
    "serve",
    "web",
    "worker",
    "demo",
    "sandbox",
    "watch",
    "settings",
    "check",
    "doctor",
    "sites",
    "sync",
    "notify",
}
COMMANDS |= {"tickets", "events", "embed"}

Invoke = Callable[..., tuple[int, str, str]]


@pytest.fixture
def invoke(tmp_path: Path) -> Iterator[Invoke]:
    """Run a command in this process, in an empty folder and with only the given settings: status, output, errors."""

    def run(*words: str, **given: str) -> tuple[int, str, str]:
        nothing = dict.fromkeys((name.upper() for name in Settings.model_fields), None)
        with chdir(tmp_path):
            answer = CliRunner().invoke(commands.app, words, env={**nothing, **given}, catch_exceptions=False)
        return answer.exit_code, answer.stdout, answer.stderr

    with logs_as_before():
        yield run


# -- help --


def test_help_lists_commands(invoke: Invoke) -> None:
    """The program's help, also shown without a command, has each command with a whole sentence."""
    status, out, _ = invoke("--help")
    _, without, errors = invoke()

    _, _, listed = out.partition("Commands:\n")
    found = dict(line.split(maxsplit=1) for line in listed.splitlines())
    assert 0 == status
    assert COMMANDS == set(found)
    assert all(re.fullmatch(r"[A-Z].+\.", text) and not text.endswith("...") for text in found.values())
    assert out == without + errors


@pytest.mark.parametrize("name", sorted(COMMANDS - {"sandbox"}))
def test_help_of_command(invoke: Invoke, name: str) -> None:
    """Each command's help says what it does and what each of its options is for."""
    status, out, _ = invoke(name, "--help")

    assert 0 == status
    assert out.startswith(f"Usage: ticket-counter {name}")
    options = re.split(r"\n  (?=-)", out.partition("Options:\n")[2].partition("\n\n")[0])
    assert all(re.search(r"  [A-Z].+\.$", option, re.DOTALL) for option in options)


def test_version_option(invoke: Invoke) -> None:
    """`--version` prints the name and the version of the installed package."""
    assert (0, f"ticket-counter {version('ticket-counter')}\n", "") == invoke("--version")


def test_commands_in_texts_exist() -> None:
    """Every command that a text tells people to run exists."""
    places = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("server/**/*.py"), *ROOT.glob("sandbox/*.py")]
    places += [ROOT / "Procfile", ROOT / ".env.example", ROOT / "scripts" / "demo"]
    named = {
        (place.name, name)
        for place in places
        for name in re.findall(r'(?<![<"])ticket-counter ([a-z]+)', place.read_text())
    }

    assert {"serve", "demo", "settings"} <= {name for _, name in named}
    assert {name for _, name in named} <= COMMANDS, sorted(named)


def test_settings_prints_table(invoke: Invoke) -> None:
    """`settings` prints the table of all settings, and needs none of them."""
    status, out, _ = invoke("settings", PORT="nonsense")

    assert (0, settings_table.table()) == (status, out.rstrip("\n"))


# -- errors at the start --


@pytest.mark.parametrize(
    ("words", "given", "text"),
    [
        (("web",), {}, "REDIS_URL is not set: "),
        (("web", "--processes", "2"), {}, "REDIS_URL is not set: "),
        (("worker",), {"WIX_APP_ID": "app", "WIX_APP_SECRET": "hush"}, "REDIS_URL is not set: "),
        (("serve",), {}, "WIX_APP_ID and WIX_APP_SECRET are not set: "),
        (("serve",), {"WIX_APP_ID": "app"}, "WIX_APP_SECRET is not set: "),
        (("watch",), {}, "no `ticket-counter serve` runs with DATA_DIR=/"),
    ],
)
def test_missing_setting(invoke: Invoke, words: tuple[str, ...], given: dict[str, str], text: str) -> None:
    """A missing or wrong input is reported in one line, with exit status 2."""
    status, out, errors = invoke(*words, **given)

    assert (2, "") == (status, out)
    assert errors.startswith(f"ticket-counter: {text}")
    assert 1 == len(errors.splitlines())


def test_all_missing_settings(invoke: Invoke) -> None:
    """All missing settings are reported at once."""
    status, _, errors = invoke("worker")

    assert 2 == status
    assert ["REDIS_URL", "WIX_APP_ID"] == re.findall(r"^(?:ticket-counter: )?([A-Z_]+)", errors, re.MULTILINE)


def test_wrong_settings(invoke: Invoke) -> None:
    """All wrong settings are reported at once at the start, one per line, and no secret is printed."""
    wrong = {
        "PORT": "99999",
        "ORIGINS": "https://*",
        "WIX_SITES": "nonsense",
        "WIX_PUBLIC_KEY": "hush-key",
        "WIX_APP_SECRET": "hush",
        "WIX_API_KEY": "hush-too",
        "REDIS_URL": "http://:hush@127.0.0.1",
        "METRICS_TOKEN": "hush",
        "LOG_FORM": "xml",
        "WEB_PROCESSES": "0",
    }

    status, _, errors = invoke("serve", **wrong)

    first, *rest = errors.splitlines()
    assert (2, "ticket-counter: these settings cannot be used:") == (status, first)
    named = {re.match(r"  (?:set )?([A-Z_]+)", line)[1] for line in rest}  # type: ignore[index]
    assert wrong.keys() - {"WIX_APP_SECRET", "METRICS_TOKEN"} == named
    assert "hush" not in errors


async def test_port_in_use(command: Run, redis_url: str) -> None:
    """A port that is in use is reported in one line that names HOST and PORT, and nothing runs."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = command("web", "--port", port, REDIS_URL=redis_url)
        status, _ = await process.ended()

    last = process.err.splitlines()[-1]
    assert 2 == status
    assert (
        f"ticket-counter: cannot listen on 127.0.0.1, port {port} (Address already in use): change HOST or PORT" == last
    )
    assert "Traceback" not in process.err


# -- running processes --


def is_ready(url: str) -> bool:
    """Whether a server answers there that it is ready."""
    try:
        return httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_serve_without_redis_url(invoke: Invoke) -> None:
    """`serve` needs no REDIS_URL, logs its address, and options win over the environment."""
    port = free_port()
    signalling = signal_when(signal.SIGINT, lambda: is_ready(f"http://localhost:{port}"))

    status, out, errors = invoke("serve", "--port", str(port), "--host", "localhost", **{**SETTINGS, "PORT": "1"})
    signalling.join()

    assert (0, "") == (status, out)
    assert f"address=http://localhost:{port}" in errors


def test_serve_is_one_process(invoke: Invoke) -> None:
    """`serve` runs in one process whatever WEB_PROCESSES is, and warns about it."""
    port = free_port()
    signalling = signal_when(signal.SIGINT, lambda: is_ready(f"http://127.0.0.1:{port}"))

    status, _, errors = invoke("serve", "--port", str(port), **{**SETTINGS, "WEB_PROCESSES": "4"})
    signalling.join()

    assert 0 == status
    assert "one_process" in errors
    assert "WEB_PROCESSES is for `web`" in errors


def test_demo_prints_shop_address(invoke: Invoke, tmp_path: Path) -> None:
    """`demo` prints the address of a shop page, and ignores settings that are meant for a real site."""
    port = free_port()
    signalling = signal_when(signal.SIGINT, lambda: is_ready(f"http://127.0.0.1:{port}"))
    real = {
        "REDIS_URL": "redis://127.0.0.1:1",
        "WIX_API_KEY": "a real key",
        "WIX_SITES": OTHER,
        "ROOT_PATH": "/counter",
        "HOST": "192.0.2.1",
        "ORIGINS": "https://www.example.com",
    }

    status, out, _ = invoke("demo", "--port", str(port), **real)
    signalling.join()

    shop = re.search(r"http://127\.0\.0\.1:\d+/", out)
    assert 0 == status
    assert "Buy a ticket" in out
    assert shop
    with pytest.raises(httpx.ConnectError):
        httpx.get(shop[0], trust_env=False)
    assert (tmp_path / "data" / "demo" / "valkey").is_dir()


def test_demo_when_sandbox_fails(invoke: Invoke, tmp_path: Path) -> None:
    """If the local Wix does not start, the demo ends with one line."""
    (tmp_path / "data" / "demo" / "wix").mkdir(parents=True)
    (tmp_path / "data" / "demo" / "wix" / "sandbox.json").write_text("nonsense")

    status, _, errors = invoke("demo")

    assert (2, "ticket-counter: the local Wix did not start (exit status 2)\n") == (status, errors)


async def test_demo_counts_down(command: Run) -> None:
    """In the demo a sale in the shop lowers the counter, and SIGTERM ends everything."""
    port = free_port()
    demo = command("demo", "--port", str(port))
    await demo.says("Ctrl+C ends it")
    wix = wix_of(demo)
    ticket = json.loads((demo.folder / "data/demo/wix/sandbox.json").read_text())["tickets"]["fixed"]
    async with httpx.AsyncClient(trust_env=False) as client:

        async def unsold() -> int | None:
            found = (await client.get(f"http://127.0.0.1:{port}/v1/counters?ticket={ticket}")).json()
            left: int | None = found["counters"][0]["unsold"]
            return left

        async def sold() -> bool:
            return await unsold() == before - 1

        before: int = await until(unsold)
        await client.post(f"{wix}/sandbox/tickets/{ticket}/buy", json={})
        await until(sold)
    status, seconds = await demo.stop()

    assert 0 == status
    assert seconds < 4
    assert closed(wix)


async def test_demo_says_how_commands_reach_it(command: Run) -> None:
    """The command that the demo names for a second terminal lists its tickets, with its address in the HTML."""
    port = free_port()
    demo = command("demo", "--port", str(port))
    await demo.says("Ctrl+C ends it")
    named = re.search(r"DATA_DIR=(\S+) PORT=(\d+) \S+ tickets\n", demo.out)
    assert named
    assert str(port) == named[2]

    tickets = command("tickets", DATA_DIR=str(demo.folder / named[1]), PORT=named[2], WIX_SITES="")

    await tickets.says(f'<script async src="http://127.0.0.1:{port}/widget/v1/ticket-counter.js"></script>')
    assert (0, "") == ((await tickets.ended())[0], tickets.err)


async def test_killed_demo_ends_sandbox(command: Run) -> None:
    """A demo that is killed leaves no local Wix behind."""
    demo = command("demo", "--port", "0")
    await demo.says("Ctrl+C ends it")
    wix = wix_of(demo)
    assert not closed(wix)

    await demo.stop(signal.SIGKILL)

    await until(lambda: closed(wix))


def wix_of(demo: Command) -> str:
    """The address of a demo's local Wix."""
    found = re.search(r"WIX_API_URL=(\S+)", (demo.folder / "data/demo/wix/.env").read_text())
    assert found
    return found[1]


def closed(url: str) -> bool:
    """Whether nothing listens there."""
    try:
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))).close()
    except ConnectionRefusedError:
        return True
    return False


def test_demo_port_in_use() -> None:
    """The demo takes the port that it is given, or another one if that is in use."""
    free = free_port()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        other = commands._free_port(taken.getsockname()[1])

        assert other not in {0, taken.getsockname()[1]}
    assert free == commands._free_port(free)


async def test_sandbox_command(command: Run) -> None:
    """`sandbox` behaves as `python -m sandbox`: options, help, signals and exit status."""
    helped, wrong = command("sandbox", "--help"), command("sandbox", "--seed-at", "nonsense")
    sandbox = command("sandbox", "--port", "0", "--tickets", "3", "--state", "kept")
    await sandbox.says("Wix sandbox: http://")
    statuses = [(await process.ended())[0] for process in (helped, wrong)]
    status, _ = await sandbox.stop()

    assert "python -m sandbox" in helped.out
    assert "--hold-seconds" in helped.out
    assert "sandbox: --seed-at 'nonsense'" in wrong.err
    assert [0, 2] == statuses
    assert 0 == status
    assert (sandbox.folder / "kept" / ".env").exists()


# -- watch --


class Watching:
    """A `watch` that has subscribed to a ticket, and the reader behind."""

    def __init__(self, process: Command, reads: FakeReader) -> None:
        self.process = process
        self.reads = reads

    async def subscribed(self, ticket: str = TICKET) -> None:
        """Wait until it has subscribed."""

        async def count() -> int:
            return int((await self.reads.store.do("PUBSUB", "NUMSUB", channel(SITE, ticket)))[1])

        await until(count)


@pytest.fixture
async def watched(reads: FakeReader) -> FakeReader:
    """A reader of a site with one tracked ticket."""
    await reads.schedule.add_site(SiteId(SITE), reads.rules, everything=True)
    await reads.schedule.mark(SiteId(SITE), Hint("listed", (TicketId(TICKET),)))
    return reads


async def test_watch_prints_changes(command: Run, redis_url: str, watched: FakeReader) -> None:
    """`watch` prints every tracked ticket, then each change, as a line, and ends at Ctrl+C without further output."""
    await watched.read(definition(TICKET, 3))
    process = command("watch", REDIS_URL=redis_url)
    await process.says("3 left")

    await watched.read(definition(TICKET, 2))
    await process.says("2 left")
    status, _ = await process.stop(signal.SIGINT)

    assert (0, "") == (status, process.err)
    lines = [f"{TICKET}  low        {unsold} left      General admission  25.00 USD" for unsold in (3, 2)]
    assert lines == process.out.splitlines()


async def test_watch_of_a_beginning(command: Run, redis_url: str, watched: FakeReader) -> None:
    """`watch` takes the beginning of an id; one that means several tickets, or none, ends it with the tickets to choose from."""
    await watched.schedule.mark(SiteId(SITE), Hint("listed", (TicketId(OTHER),)))
    await watched.read(definition(TICKET, 3), definition(OTHER, 48, name="Balcony\x1b[2J"))
    process = command("watch", OTHER[:8], REDIS_URL=redis_url)
    await process.says("48 left")
    await process.stop(signal.SIGINT)
    none = command("watch", "abcd", REDIS_URL=redis_url)

    assert (2, "") == ((await none.ended())[0], none.out)
    assert {OTHER} == {line.split()[0] for line in process.out.splitlines()}
    assert none.err.startswith("ticket-counter: no ticket is stored whose id begins with 'abcd': ")
    assert f"\n  {OTHER}  Balcony [2J\n" in none.err


async def test_watch_of_an_unknown_id(command: Run, redis_url: str, watched: FakeReader) -> None:
    """`watch` says once of an id that nothing is stored of it, with what to do."""
    process = command("watch", OTHER, REDIS_URL=redis_url)
    await process.says("is printed here once it is read")
    await process.stop(signal.SIGINT)

    assert 1 == len(process.err.splitlines())
    assert process.err.startswith(f"ticket-counter: not known yet: {OTHER}: ")


def test_watch_ends_at_ctrl_c(invoke: Invoke, redis_shared: RedisServer, redis_url: str) -> None:
    """Ctrl+C ends `watch` with status 0."""
    redis_shared.ask("SADD", "tc:sites", SITE)
    counter = wire.unknown(TicketId(TICKET))
    signalling = signal_when(signal.SIGINT, lambda: bool(redis_shared.ask("PUBLISH", channel(SITE, TICKET), counter)))

    status, _, errors = invoke("watch", TICKET, REDIS_URL=redis_url)
    signalling.join()

    assert (0, "") == (status, errors)


async def test_watch_json(command: Run, redis_url: str, watched: FakeReader) -> None:
    """`watch --json` prints whole counters, also `unknown`, exactly as published; a ticket's id may be in capitals."""
    process = command("watch", "--json", OTHER.upper(), REDIS_URL=redis_url)
    await process.says("unknown")

    await watched.read(definition(TICKET, 3))
    await watched.read(definition(OTHER, 48))
    await process.says("48")
    await process.stop(signal.SIGINT)

    stored = await watched.store.do("HGET", key(SITE, "ticket", OTHER), "counter")
    assert [wire.unknown(TicketId(OTHER)), stored] == process.out.splitlines()


async def test_watch_takes_its_bound_from_the_settings(command: Run, redis_url: str, watched: FakeReader) -> None:
    """`watch` prints `unknown` when a named ticket was not read for MAX_STALE."""
    await watched.read(definition(TICKET, 3), definition(OTHER, 4))
    await watched.store.do("HINCRBY", key(SITE, "ticket", TICKET), "read_at", -micros(8))
    process = command("watch", TICKET, OTHER, REDIS_URL=redis_url, MAX_STALE="7", WATCH_EVERY="1")

    await process.says("4 left")
    await process.says("unknown")

    assert [f"{OTHER}  low        4 left      General admission  25.00 USD", f"{TICKET}  unknown"] == sorted(
        process.out.splitlines(), reverse=True
    )


async def test_watch_follows_its_own_deployment(command: Run, redis_url: str) -> None:
    """`watch` prints what the deployment of REDIS_PREFIX and of the database in REDIS_URL publishes, and nothing of another."""
    ours = f"{redis_url.removesuffix('/0')}/3"
    async with AsyncExitStack() as stack:
        places = [(redis_url, "tc"), (redis_url, "shop"), (ours, "tc"), (ours, "shop")]
        readers = [
            await stack.enter_async_context(aclosing(FakeReader(url, SITE, prefix=name))) for url, name in places
        ]
        for one in readers:
            await one.schedule.add_site(SiteId(SITE), one.rules, everything=True)
        watching = command("watch", "--json", TICKET, REDIS_URL=ours, REDIS_PREFIX="shop")
        subscribed = readers[-1].schedule.keys.channel(SITE, TICKET)
        await until(lambda: readers[-1].store.do("PUBSUB", "CHANNELS", subscribed))
        for unsold, one in enumerate(readers):
            await one.read(definition(TICKET, unsold + 1))
        await watching.says("General admission")
        await watching.stop(signal.SIGINT)

    assert {4} == {json.loads(line)["unsold"] for line in watching.out.splitlines()} - {None}


BESIDE = "import os; os.chdir({folder!r}); from server.cli import main; main()"


@pytest.mark.parametrize("data", ["data", "deep/" * 30])
async def test_watch_finds_valkey_of_serve(command: Run, tmp_path: Path, data: str) -> None:
    """Without REDIS_URL `watch` finds the Valkey of a `serve` with the same DATA_DIR, also after its restart."""
    serve = command("serve", DATA_DIR=data)
    await serve.url()
    watching = command("watch", TICKET, DATA_DIR=data, program=BESIDE.format(folder=str(serve.folder)))

    async def sell(unsold: int) -> None:
        url = valkey.url_of(serve.folder / data)
        assert url is not None
        async with aclosing(FakeReader(url, SITE)) as reads:
            await Watching(watching, reads).subscribed()
            # The worker's own calls fail, so the site is paused: this read bypasses the schedule.
            await reads.read(definition(TICKET, unsold), version=time.time_ns() // 1000)
        await watching.says(f"{unsold} left")

    await sell(3)
    await serve.stop()
    await watching.says("Redis is unavailable, waiting until it is back")
    again = command("serve", DATA_DIR=str(serve.folder / data))
    await again.url()
    await sell(2)
    status, _ = await watching.stop(signal.SIGINT)

    assert 0 == status
    assert ["unavailable", "available"] == re.findall(r"^ticket-counter: Redis is (\w+)", watching.err, re.MULTILINE)
    assert 2 == len(watching.err.splitlines())


async def test_watch_redis_unavailable_at_start(command: Run) -> None:
    """A Redis that is unavailable at the start is reported in one line, with exit status 2."""
    process = command("watch", REDIS_URL=f"redis://127.0.0.1:{free_port()}")
    status, _ = await process.ended()

    assert 2 == status
    assert process.err.startswith("ticket-counter: Redis did not take")
    assert 1 == len(process.err.splitlines())


async def test_watch_into_closed_pipe(redis_url: str, watched: FakeReader, tmp_path: Path) -> None:
    """`watch | head -1` ends without a traceback when the pipe is closed."""
    reading, writing = os.pipe()
    script = "from server.cli import main; main()"
    environment: dict[str, Any] = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "REDIS_URL": redis_url}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        "watch",
        stdout=writing,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        cwd=tmp_path,
    )
    os.close(writing)
    await until(lambda: _subscribed(watched))
    os.close(reading)

    await watched.read(definition(TICKET, 3))
    _, errors = await asyncio.wait_for(process.communicate(), 10)

    assert b"" == errors


async def _subscribed(reads: FakeReader) -> bool:
    return bool((await reads.store.do("PUBSUB", "NUMSUB", channel(SITE, TICKET)))[1])


async def test_watch_without_site(command: Run, redis_url: str) -> None:
    """In a Redis without a site `watch` says what to start, with exit status 2."""
    process = command("watch", REDIS_URL=redis_url)
    status, _ = await process.ended()

    assert 2 == status
    assert process.err.startswith("ticket-counter: no site is known in this Redis yet: start `ticket-counter serve`")
