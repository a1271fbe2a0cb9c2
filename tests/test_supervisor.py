import asyncio
import contextvars
import json
import os
import re
import resource
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, chdir, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from server import supervisor
from server.errors import NotStarted
from server.http.listen import listen
from server.settings import Settings
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.process import ROOT, Command, Run
from tests.rig.redis import RedisServer, free_port
from tests.rig.server import TICKET, until
from tests.rig.settings import valid_settings
from tests.rig.signals import do_when, signal_when

VIEWERS = 24
"""That one of two members gets none of so many happens once in eight million runs."""

TOKEN = "token"
VIEWING, WRITTEN = 'ticket_counter_viewers{kind="ws"}', 'ticket_counter_frames_total{kind="ws"}'


# -- members as they are: real web processes behind one port --


@dataclass
class Viewer:
    """One who looks at a ticket: what was last said of it, the last word, and how it ended."""

    connection: ClientConnection
    unsold: int | None = None
    word: dict[str, Any] = field(default_factory=dict)
    code: int | None = None

    async def look(self) -> None:
        """Take frames until the server closes."""
        with suppress(ConnectionClosed):
            while True:
                self.word = json.loads(await self.connection.recv())
                self.unsold = self.word.get("unsold", self.unsold)
        self.code = self.connection.close_code


class WebProcesses:
    """Web processes behind one port, and the viewers of their ticket."""

    def __init__(self, process: Command, url: str, stack: AsyncExitStack) -> None:
        self.process = process
        self.url = url
        self.viewers: list[Viewer] = []
        self._stack = stack

    async def come(self, number: int) -> list[Viewer]:
        """Let so many viewers come."""
        address = f"{self.url.replace('http', 'ws', 1)}/v1/counters?ticket={TICKET}"
        came = [Viewer(await self._stack.enter_async_context(connect(address))) for _ in range(number)]
        for viewer in came:
            self._stack.push_async_callback(_end, asyncio.create_task(viewer.look()))
        self.viewers += came
        return came

    async def metrics(self) -> dict[str, float]:
        """What some member says of all; on a connection of its own, so that it is not always the same."""
        async with httpx.AsyncClient(base_url=self.url, trust_env=False) as client:
            answer = await client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        rows = [line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in rows}

    def members(self) -> list[int]:
        """The pids of all members so far, in the order of their starts."""
        return [int(pid) for pid in re.findall(r"webhooks_refused.* pid=(\d+)", self.process.err)]


@asynccontextmanager
async def listening(process: Command) -> AsyncIterator[WebProcesses]:
    """Web processes that listen."""
    async with AsyncExitStack() as stack:
        yield WebProcesses(process, await process.url(), stack)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


def alive(pid: int) -> bool:
    """Whether there is such a process; one that ended and was not waited for is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def all_show(viewers: list[Viewer], unsold: int) -> Callable[[], bool]:
    """A condition: all of these show this number."""
    return lambda: all(viewer.unsold == unsold for viewer in viewers)


async def test_a_member_dies(command: Run, redis_url: str, reads: FakeReader) -> None:
    """A member that is killed takes its own viewers alone, is replaced, and what it counted stays in the sums."""
    process = command("web", "--processes", "2", REDIS_URL=redis_url, METRICS_TOKEN=TOKEN)
    async with listening(process) as web:
        viewers = await web.come(VIEWERS)
        await reads.read(definition(TICKET, 3))
        await until(all_show(viewers, 3))
        before = await web.metrics()

        os.kill(web.members()[0], signal.SIGKILL)
        await until(lambda: any(viewer.code for viewer in viewers))

        async def settled() -> bool:
            return (await web.metrics())[VIEWING] == sum(viewer.code is None for viewer in viewers)

        await until(settled)
        lost = [viewer for viewer in viewers if viewer.code]
        stayed = [viewer for viewer in viewers if not viewer.code]
        between = await web.metrics()
        await until(lambda: len(web.members()) == 3)
        new = await web.come(1)
        await reads.read(definition(TICKET, 2))
        await until(all_show([*stayed, *new], 2))
        after = await web.metrics()
        status, _ = await process.stop()

    assert "member_ended" in process.err
    assert re.search(r"killed by SIGKILL.* pid=" + str(web.members()[0]), process.err)
    assert 1 == process.err.count("listening")
    assert 0 < len(stayed) < VIEWERS
    assert {1006} == {viewer.code for viewer in lost}
    assert (VIEWERS, len(stayed), len(stayed) + 1) == (before[VIEWING], between[VIEWING], after[VIEWING])
    assert 0 < before[WRITTEN] <= between[WRITTEN] < after[WRITTEN]
    assert 0 == status


async def test_signals(command: Run, redis_url: str) -> None:
    """Law 11: a signal to the parent, even one that all members got too, sends every viewer away in order, with status 0."""
    process = command("web", REDIS_URL=redis_url, METRICS_TOKEN=TOKEN, WEB_PROCESSES="2")
    async with listening(process) as web:
        viewers = await web.come(VIEWERS)
        members = web.members()
        folders = [environment(pid)["PROMETHEUS_MULTIPROC_DIR"] for pid in members]
        limits = [resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in members]
        # A terminal tells its whole group, a supervisor a whole tree.
        for pid in members:
            os.kill(pid, signal.SIGINT)
        status, _ = await process.stop(signal.SIGTERM)
        await until(lambda: all(viewer.code for viewer in viewers))

    assert 0 == status
    assert {1012} == {viewer.code for viewer in viewers}
    assert all({"bye"} == set(viewer.word) for viewer in viewers)
    assert not any(alive(pid) for pid in members)
    assert 1 == len(set(folders))
    assert not Path(folders[0]).exists()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert [(hard, hard)] * 2 == limits
    assert "error" not in process.err


def environment(pid: int) -> dict[str, str]:
    """What a process was started with."""
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if pair)


async def test_killed_parent(command: Run, redis_url: str) -> None:
    """Members end with their parent, however that ends, give the port free, and leave nothing behind."""
    process = command("web", "--processes", "2", REDIS_URL=redis_url)
    async with listening(process) as web:
        members = web.members()
        folder = Path(environment(members[0])["PROMETHEUS_MULTIPROC_DIR"])
        assert folder.is_dir()

        await process.stop(signal.SIGKILL)

        await until(lambda: not any(alive(pid) for pid in members))
    listen(valid_settings(port=int(web.url.rpartition(":")[2]))).close()
    assert not folder.exists()


async def test_second_crew(command: Run, redis_url: str) -> None:
    """A port that other members share is taken as any other: the second crew ends with one line and exit status 2."""
    port = str(free_port())
    first = command("web", "--processes", "2", "--port", port, REDIS_URL=redis_url)
    await first.url()

    second = command("web", "--processes", "2", "--port", port, REDIS_URL=redis_url)
    status, _ = await second.ended()

    assert 2 == status
    assert (
        f"ticket-counter: cannot listen on 127.0.0.1, port {port} (Address already in use): change HOST or PORT\n"
        == second.err
    )


async def test_no_member_can_start(command: Run, redis_server: Callable[..., RedisServer]) -> None:
    """What keeps every member from starting is told once, as a single process would tell it, with exit status 2."""
    process = command("web", "--processes", "3", REDIS_URL=redis_server(appendonly="no").url)
    status, _ = await process.ended()

    told = [line for line in process.err.splitlines() if "webhooks_refused" not in line]
    assert 2 == status
    assert 1 == len(told)
    assert re.match(r"ticket-counter: .*set `appendonly yes`", told[0])


async def test_no_folder(command: Run, redis_url: str) -> None:
    """Where no folder for the metrics can be made, one line says what to set, with exit status 2."""
    nowhere = "import tempfile; tempfile.tempdir = 'nowhere'; from server.cli import main; main()"
    process = command("web", "--processes", "2", program=nowhere, REDIS_URL=redis_url)

    status, _ = await process.ended()

    assert 2 == status
    assert (
        "ticket-counter: no folder for the metrics can be made (No such file or directory): set TMPDIR\n" == process.err
    )


# -- the two sides, in this process --


@contextmanager
def surroundings(folder: Path, **given: str) -> Iterator[None]:
    """What members find: these settings in the environment, and no other in a file."""
    before = dict(os.environ)
    os.environ.update({"PYTHONPATH": str(ROOT), **given})
    try:
        with chdir(folder):
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_lead(redis_url: str, tmp_path: Path, number: int) -> None:
    """The address is told once all listen there, a signal ends them, and signals are left as they were."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    told: list[str] = []

    def ready(address: str) -> None:
        told.append(address)
        socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))).close()
        signal.raise_signal(number)

    with surroundings(tmp_path, REDIS_URL=redis_url):
        status = supervisor.supervise(valid_settings(redis_url=redis_url, web_processes=2), ready)

    assert 0 == status
    assert 1 == len(told)
    assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d*", told[0])
    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))


def test_lead_without_redis() -> None:
    """What would keep every member from starting, and is plain from the settings, is said before any is started."""
    with pytest.raises(NotStarted, match="REDIS_URL is not set"):
        supervisor.supervise(valid_settings(redis_url=None, web_processes=2), print)


def join(wanted: Settings, report: int) -> int:
    """Be a member as long as this call; what it writes into logs' context is not for the tests to come."""
    return contextvars.copy_context().run(supervisor.run_child, wanted, report)


def test_join(redis_url: str) -> None:
    """A member says that it is ready when it listens on a port that it shares, and a second signal does not hurry it."""
    reading, writing = os.pipe()
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:
        wanted = valid_settings(redis_url=redis_url, port=other.getsockname()[1])
        said: list[bytes] = []

        def listens() -> bool:
            said.append(os.read(reading, 100))
            return True

        pressed = signal_when(signal.SIGTERM, listens, times=2)
        status = join(wanted, writing)
        pressed.join()

    assert (0, [supervisor.READY]) == (status, said)
    for end in (reading, writing):
        os.close(end)


def test_join_in_vain(redis_server: Callable[..., RedisServer]) -> None:
    """A member that cannot start says why to its parent alone, and its status is 2."""
    reading, writing = os.pipe()

    status = join(valid_settings(redis_url=redis_server(appendonly="no").url), writing)
    os.close(writing)

    assert 2 == status
    assert b"set `appendonly yes`" in os.read(reading, 1000)
    os.close(reading)


def test_reserved() -> None:
    """A port that a crew has taken is taken for others before any member listens, and free for all of its members."""
    with supervisor._reserved(valid_settings()) as port:
        wanted = valid_settings(port=port.getsockname()[1])
        with pytest.raises(NotStarted, match="Address already in use"):
            listen(wanted)

        with listen(wanted, shared=True), listen(wanted, shared=True):
            pass
    listen(wanted).close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
def test_reserved_after_a_server(host: str) -> None:
    """A port where connections of a server linger that has ended is free, as it is for a single process."""
    with (
        listen(valid_settings(host=host)) as ended,
        socket.create_connection(("127.0.0.1", ended.getsockname()[1])) as one,
    ):
        wanted = valid_settings(host=host, port=ended.getsockname()[1])
        ended.accept()[0].close()
        one.recv(1)

    with supervisor._reserved(wanted) as port, listen(wanted, shared=True) as member:
        assert wanted.port == port.getsockname()[1] == member.getsockname()[1]


# -- members as they may be: small programs that misbehave --

PROGRAM = """
import os, signal, sys, time
from pathlib import Path
report = int(sys.argv[1].partition("=")[2])
folder, place = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]), int(os.environ["METRICS_PLACE"])
def say(text):
    os.write(report, text)
def first():
    try:
        (folder / f"came-{place}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
"""

DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN); say(b'ready\\n'); time.sleep(60)"


def of(
    number: int, program: str, folder: Path, ready: Callable[[], None] = lambda: None, **more: Any
) -> supervisor.Supervisor:
    """A crew of such programs."""
    command = [sys.executable, "-I", "-S", "-c", PROGRAM + program]
    return supervisor.Supervisor(number, command, str(folder), ready, **more)


def ended(logs: list[Any]) -> list[Any]:
    """The ends of members that were told."""
    return [one for one in logs if one["event"] == "member_ended"]


@pytest.mark.parametrize(
    ("program", "well", "bases"),
    [
        ("raise SystemExit(1)", 60, [0.1, 0.2, 0.3, 0.3]),
        ("say(b'ready\\n'); os.kill(os.getpid(), 9)", 60, [0.1, 0.2, 0.3, 0.3]),
        ("say(b'ready\\n'); time.sleep(0.3); os.kill(os.getpid(), 9)", 0.05, [0.1, 0.1, 0.1, 0.1]),
    ],
)
def test_pauses(tmp_path: Path, program: str, well: float, bases: list[float]) -> None:
    """A member that ends again and again is started ever more seldom, up to a bound, unless it had served well."""
    with capture_logs() as logs:
        pressed = signal_when(signal.SIGTERM, lambda: len(ended(logs)) >= len(bases))
        status = of(1, program, tmp_path, pause=(0.1, 0.3), well=well).run()
        pressed.join()

    first = ended(logs)[: len(bases)]
    assert 0 == status
    assert ["exit 1" if "Exit" in program else "killed by SIGKILL"] * len(bases) == [one["ended"] for one in first]
    assert all(base / 2 - 0.01 <= one["again_in"] <= base + 0.01 for base, one in zip(bases, first, strict=True))
    assert not any(alive(one["pid"]) for one in ended(logs))


def test_refusal(tmp_path: Path) -> None:
    """Where one member cannot start as it is set up, all are ended and its words are the whole command's."""
    program = "say(b'ready\\n' if place else b'the key is no key'); time.sleep(60 if place else 0); sys.exit(2)"
    told: list[None] = []

    with capture_logs() as logs, pytest.raises(NotStarted, match=r"^the key is no key$"):
        of(3, program, tmp_path, lambda: told.append(None)).run()

    assert [] == logs
    assert [] == told


def test_refusal_without_words(tmp_path: Path) -> None:
    """A member that told people itself why it cannot start leaves the parent the status alone."""
    assert 2 == of(2, "sys.exit(2)", tmp_path).run()


def test_refusal_later(tmp_path: Path) -> None:
    """Once all were ready, a member that cannot start any more is no reason to end the others."""
    program = """
if first():
    say(b'ready\\n')
    while place or not (folder / "all-ready").exists():
        time.sleep(0.01)
else:
    say(b'Redis was not there')
    sys.exit(2)
"""

    with capture_logs() as logs:
        pressed = signal_when(signal.SIGTERM, lambda: len(ended(logs)) >= 3)
        ready = partial((tmp_path / "all-ready").touch, exist_ok=False)
        status = of(2, program, tmp_path, ready, pause=(0.01, 0.02)).run()
        pressed.join()

    assert 0 == status
    assert ["exit 0", "exit 2", "exit 2"] == [one["ended"] for one in ended(logs)[:3]]
    assert [None, "Redis was not there", "Redis was not there"] == [one.get("error") for one in ended(logs)[:3]]


def full_disk(stack: ExitStack) -> None:
    """No file can be written: to the kernel that one is too large is the same as that all are too much."""
    limit(stack, resource.RLIMIT_FSIZE, 0)


def full_table(stack: ExitStack) -> None:
    """No more can be open at once than what the parent itself needs, and one."""
    limit(stack, resource.RLIMIT_NOFILE, 1000)
    with suppress(OSError), ExitStack() as free:
        for _ in range(3):
            free.callback(os.close, os.dup(0))
        while True:
            stack.callback(os.close, os.dup(0))


def limit(stack: ExitStack, what: int, most: int) -> None:
    """Give this process no more than this."""
    before = resource.getrlimit(what)
    resource.setrlimit(what, (most, before[1]))
    stack.callback(resource.setrlimit, what, before)


@pytest.mark.parametrize(("lack", "told"), [(full_disk, "File too large"), (full_table, "Too many open files")])
def test_no_means_to_start(tmp_path: Path, lack: Callable[[ExitStack], None], told: str) -> None:
    """A member that cannot be started for want of what the machine lacks is tried again, and starts when it is there."""
    program = "say(b'ready\\n'); time.sleep(60)"
    one = of(1, program, tmp_path, lambda: signal.raise_signal(signal.SIGTERM), pause=(0.01, 0.02))
    with capture_logs() as logs, ExitStack() as lacking:
        lack(lacking)
        relief = do_when(lambda: ended(logs), lacking.close)
        status = one.run()
        relief.join()

    assert 0 == status
    assert {f"the process could not be started: {told}"} == {one["error"] for one in logs}


def test_deaf_member(tmp_path: Path) -> None:
    """A member that does not end in time is killed, and the status says so."""
    with capture_logs() as logs:
        status = of(2, DEAF, tmp_path, lambda: signal.raise_signal(signal.SIGTERM), grace=0.1).run()

    assert 1 == status
    assert ["members_killed"] == [one["event"] for one in logs]
    assert not any(alive(pid) for pid in logs[0]["pids"])


def test_second_signal(tmp_path: Path) -> None:
    """Law 11: a second signal ends all members at once."""
    began = time.monotonic()

    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)

    with capture_logs() as logs:
        status = of(2, DEAF, tmp_path, twice).run()

    assert 1 == status
    assert time.monotonic() - began < 5
    assert not any(alive(pid) for pid in logs[0]["pids"])


def test_fault_at_the_end(tmp_path: Path) -> None:
    """Law 10: a member that fails while it ends is seen in the status."""
    program = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(1)); say(b'ready\\n'); time.sleep(60)"

    assert 1 == of(2, program, tmp_path, lambda: signal.raise_signal(signal.SIGTERM)).run()


def test_fault_of_the_parent(tmp_path: Path) -> None:
    """A parent that fails leaves no member behind."""

    def fail() -> None:
        raise ZeroDivisionError

    with capture_logs() as logs, pytest.raises(ZeroDivisionError):
        of(2, DEAF, tmp_path, fail).run()

    assert not any(alive(pid) for pid in logs[0]["pids"])
