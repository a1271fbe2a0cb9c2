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
"""With so many, one of two children gets none of them once in eight million runs."""

TOKEN = "token"
VIEWING, WRITTEN = 'ticketcounter_viewers{kind="ws"}', 'ticketcounter_frames_total{kind="ws"}'


# -- real web processes on one port --


@dataclass
class Viewer:
    """A viewer of one ticket: the last number and frame that it got, and the close code."""

    connection: ClientConnection
    unsold: int | None = None
    frame: dict[str, Any] = field(default_factory=dict)
    code: int | None = None

    async def receive(self) -> None:
        """Take frames until the server closes."""
        with suppress(ConnectionClosed):
            while True:
                self.frame = json.loads(await self.connection.recv())
                self.unsold = self.frame.get("unsold", self.unsold)
        self.code = self.connection.close_code


class RunningSupervisor:
    """A supervisor whose children run, and the viewers of its ticket."""

    def __init__(self, process: Command, url: str, stack: AsyncExitStack) -> None:
        self.process = process
        self.url = url
        self.viewers: list[Viewer] = []
        self._stack = stack

    async def connect(self, number: int) -> list[Viewer]:
        """Connect so many viewers."""
        address = f"{self.url.replace('http', 'ws', 1)}/v1/counters?ticket={TICKET}"
        new = [Viewer(await self._stack.enter_async_context(connect(address))) for _ in range(number)]
        for viewer in new:
            self._stack.push_async_callback(_end, asyncio.create_task(viewer.receive()))
        self.viewers += new
        return new

    async def metrics(self) -> dict[str, float]:
        """The metrics, from any of the children: each request has its own connection."""
        async with httpx.AsyncClient(base_url=self.url, trust_env=False) as client:
            answer = await client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        rows = [line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in rows}

    def children(self) -> list[int]:
        """The pids of all children so far, in the order of their starts."""
        return [int(pid) for pid in re.findall(r"webhooks_refused.* pid=(\d+)", self.process.err)]


@asynccontextmanager
async def supervised(process: Command) -> AsyncIterator[RunningSupervisor]:
    """A supervisor that listens."""
    async with AsyncExitStack() as stack:
        yield RunningSupervisor(process, await process.url(), stack)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


def alive(pid: int) -> bool:
    """Whether the process exists; one that has ended but was not waited for does."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def all_show(viewers: list[Viewer], unsold: int) -> Callable[[], bool]:
    """A condition: all of these viewers got this number last."""
    return lambda: all(viewer.unsold == unsold for viewer in viewers)


async def test_sums_of_two_processes_equal_those_of_one(command: Run, redis_url: str) -> None:
    """The same requests add up to the same counts, whether one process answers them or two of one port."""
    counts = []
    for processes in ("1", "2"):
        process = command("web", "--processes", processes, REDIS_URL=redis_url, METRICS_TOKEN=TOKEN)
        async with supervised(process) as parent:
            counts.append(await counted(parent))
            await process.stop()

    assert counts[0] == counts[1]
    assert {40.0, 30.0, 6.0} <= set(counts[0].values())


async def counted(parent: RunningSupervisor) -> dict[str, float]:
    """What the processes count of 40 webhooks, 30 requests that are refused and 6 viewers."""
    for _ in range(40):
        async with httpx.AsyncClient(base_url=parent.url, trust_env=False) as client:
            await client.post("/webhooks/wix", content=b"no webhook")
    for _ in range(30):
        async with httpx.AsyncClient(base_url=parent.url, trust_env=False) as client:
            await client.get("/v1/counters?ticket=no-guid")
    await parent.connect(6)
    found = await parent.metrics()
    # Gauges of the whole deployment are counted once in each process, and time is not the same.
    once = ("topics", "missing_workers", "silent")
    return {
        name: value
        for name, value in found.items()
        if name.startswith("ticketcounter_") and not any(word in name for word in (*once, "_seconds", "frames"))
    }


async def test_killed_child_is_replaced(command: Run, redis_url: str, reads: FakeReader) -> None:
    """A killed child loses only its own viewers, is replaced, and what it counted stays in the sums."""
    process = command("web", "--processes", "2", REDIS_URL=redis_url, METRICS_TOKEN=TOKEN)
    async with supervised(process) as parent:
        viewers = await parent.connect(VIEWERS)
        await reads.read(definition(TICKET, 3))
        await until(all_show(viewers, 3))
        before = await parent.metrics()

        os.kill(parent.children()[0], signal.SIGKILL)
        await until(lambda: any(viewer.code for viewer in viewers))

        async def settled() -> bool:
            return (await parent.metrics())[VIEWING] == sum(viewer.code is None for viewer in viewers)

        await until(settled)
        lost = [viewer for viewer in viewers if viewer.code]
        stayed = [viewer for viewer in viewers if not viewer.code]
        between = await parent.metrics()
        await until(lambda: len(parent.children()) == 3)
        new = await parent.connect(1)
        await reads.read(definition(TICKET, 2))
        await until(all_show([*stayed, *new], 2))
        after = await parent.metrics()
        status, _ = await process.stop()

    assert "member_ended" in process.err
    assert re.search(r"killed by SIGKILL.* pid=" + str(parent.children()[0]), process.err)
    assert 1 == process.err.count("listening")
    assert 0 < len(stayed) < VIEWERS
    assert {1006} == {viewer.code for viewer in lost}
    assert (VIEWERS, len(stayed), len(stayed) + 1) == (before[VIEWING], between[VIEWING], after[VIEWING])
    assert 0 < before[WRITTEN] <= between[WRITTEN] < after[WRITTEN]
    assert 0 == status


async def test_signal_to_parent_and_children(command: Run, redis_url: str) -> None:
    """Law 11: a signal to the parent, even if its children got it too, closes every viewer in order, with status 0."""
    process = command("web", REDIS_URL=redis_url, METRICS_TOKEN=TOKEN, WEB_PROCESSES="2")
    async with supervised(process) as parent:
        viewers = await parent.connect(VIEWERS)
        children = parent.children()
        folders = [environment(pid)["PROMETHEUS_MULTIPROC_DIR"] for pid in children]
        limits = [resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in children]
        # A terminal signals its whole group, and systemd all processes of a service.
        for pid in children:
            os.kill(pid, signal.SIGINT)
        status, _ = await process.stop(signal.SIGTERM)
        await until(lambda: all(viewer.code for viewer in viewers))

    assert 0 == status
    assert {1012} == {viewer.code for viewer in viewers}
    assert all({"bye"} == set(viewer.frame) for viewer in viewers)
    assert not any(alive(pid) for pid in children)
    assert 1 == len(set(folders))
    assert not Path(folders[0]).exists()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert [(hard, hard)] * 2 == limits
    assert "error" not in process.err


def environment(pid: int) -> dict[str, str]:
    """The environment that a process was started with."""
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if pair)


async def test_killed_parent(command: Run, redis_url: str) -> None:
    """Children end when their parent is killed, free the port, and leave no files."""
    process = command("web", "--processes", "2", REDIS_URL=redis_url)
    async with supervised(process) as parent:
        children = parent.children()
        folder = Path(environment(children[0])["PROMETHEUS_MULTIPROC_DIR"])
        assert folder.is_dir()

        await process.stop(signal.SIGKILL)

        await until(lambda: not any(alive(pid) for pid in children))
    listen(valid_settings(port=int(parent.url.rpartition(":")[2]))).close()
    assert not folder.exists()


async def test_second_supervisor_on_the_port(command: Run, redis_url: str) -> None:
    """A second supervisor on the same port ends with one line and exit status 2, although ports can be shared."""
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


async def test_no_child_can_start(command: Run, redis_server: Callable[..., RedisServer]) -> None:
    """What keeps every child from starting is printed once, as by a single process, with exit status 2."""
    process = command("web", "--processes", "3", REDIS_URL=redis_server(appendonly="no").url)
    status, _ = await process.ended()

    reported = [line for line in process.err.splitlines() if "webhooks_refused" not in line]
    assert 2 == status
    assert 1 == len(reported)
    assert re.match(r"ticket-counter: .*set `appendonly yes`", reported[0])


async def test_no_folder_for_metrics(command: Run, redis_url: str) -> None:
    """If no folder for the metrics can be made, one line says what to set, with exit status 2."""
    nowhere = "import tempfile; tempfile.tempdir = 'nowhere'; from server.cli import main; main()"
    process = command("web", "--processes", "2", program=nowhere, REDIS_URL=redis_url)

    status, _ = await process.ended()

    assert 2 == status
    assert (
        "ticket-counter: no folder for the metrics can be made (No such file or directory): set TMPDIR\n" == process.err
    )


# -- the parent and a child, in this process --


@contextmanager
def environment_of_children(folder: Path, **given: str) -> Iterator[None]:
    """Give children these settings in the environment, and no others from a file."""
    before = dict(os.environ)
    os.environ.update({"PYTHONPATH": str(ROOT), **given})
    try:
        with chdir(folder):
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_supervise_until_signal(redis_url: str, tmp_path: Path, number: int) -> None:
    """The address is reported once all children listen, a signal ends them, and former signal handlers are back."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    reported: list[str] = []

    def ready(address: str) -> None:
        reported.append(address)
        socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))).close()
        signal.raise_signal(number)

    with environment_of_children(tmp_path, REDIS_URL=redis_url):
        status = supervisor.supervise(valid_settings(redis_url=redis_url, web_processes=2), ready)

    assert 0 == status
    assert 1 == len(reported)
    assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d*", reported[0])
    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))


def test_supervise_without_redis_url() -> None:
    """A missing REDIS_URL is reported before any child is started."""
    with pytest.raises(NotStarted, match="REDIS_URL is not set"):
        supervisor.supervise(valid_settings(redis_url=None, web_processes=2), print)


def run_child(wanted: Settings, report: int) -> int:
    """Be a child during this call, without changing the log context of other tests."""
    return contextvars.copy_context().run(supervisor.run_child, wanted, report)


def test_child_reports_ready(redis_url: str) -> None:
    """A child reports that it is ready once it listens on a shared port; a second signal does not end it at once."""
    reading, writing = os.pipe()
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:
        wanted = valid_settings(redis_url=redis_url, port=other.getsockname()[1])
        received: list[bytes] = []

        def listens() -> bool:
            received.append(os.read(reading, 100))
            return True

        signalling = signal_when(signal.SIGTERM, listens, times=2)
        status = run_child(wanted, writing)
        signalling.join()

    assert (0, [supervisor.READY]) == (status, received)
    for end in (reading, writing):
        os.close(end)


def test_child_reports_start_error(redis_server: Callable[..., RedisServer]) -> None:
    """A child that cannot start reports the reason only to its parent, and its status is 2."""
    reading, writing = os.pipe()

    status = run_child(valid_settings(redis_url=redis_server(appendonly="no").url), writing)
    os.close(writing)

    assert 2 == status
    assert b"set `appendonly yes`" in os.read(reading, 1000)
    os.close(reading)


# -- small programs that misbehave, as children --

PROGRAM = """
import os, signal, sys, time
from pathlib import Path
report = int(sys.argv[1].partition("=")[2])
folder, place = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]), int(os.environ["METRICS_PLACE"])
def say(text):
    os.write(report, text)
def first():
    try:
        (folder / f"started-{place}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
"""

IGNORES_SIGTERM = "signal.signal(signal.SIGTERM, signal.SIG_IGN); say(b'ready\\n'); time.sleep(60)"


def supervisor_of(
    number: int, program: str, folder: Path, ready: Callable[[], None] = lambda: None, **more: Any
) -> supervisor.Supervisor:
    """A supervisor of such programs."""
    command = [sys.executable, "-I", "-S", "-c", PROGRAM + program]
    return supervisor.Supervisor(number, command, str(folder), ready, **more)


def ended(logs: list[Any]) -> list[Any]:
    """The ends of children that were logged."""
    return [one for one in logs if one["event"] == "member_ended"]


@pytest.mark.parametrize(
    ("program", "healthy_after", "bases"),
    [
        ("raise SystemExit(1)", 60, [0.1, 0.2, 0.3, 0.3]),
        ("say(b'ready\\n'); os.kill(os.getpid(), 9)", 60, [0.1, 0.2, 0.3, 0.3]),
        ("say(b'ready\\n'); time.sleep(0.3); os.kill(os.getpid(), 9)", 0.05, [0.1, 0.1, 0.1, 0.1]),
    ],
)
def test_restart_backoff(tmp_path: Path, program: str, healthy_after: float, bases: list[float]) -> None:
    """A child that keeps ending is restarted after ever longer pauses, up to a limit, unless it served long enough."""
    with capture_logs() as logs:
        signalling = signal_when(signal.SIGTERM, lambda: len(ended(logs)) >= len(bases))
        status = supervisor_of(1, program, tmp_path, backoff=(0.1, 0.3), healthy_after=healthy_after).run()
        signalling.join()

    first = ended(logs)[: len(bases)]
    assert 0 == status
    assert ["exit 1" if "Exit" in program else "killed by SIGKILL"] * len(bases) == [one["ended"] for one in first]
    assert all(base / 2 - 0.01 <= one["again_in"] <= base + 0.01 for base, one in zip(bases, first, strict=True))
    assert not any(alive(one["pid"]) for one in ended(logs))


def test_start_error_ends_all(tmp_path: Path) -> None:
    """If one child cannot start with its settings, all are ended, and its reason is that of the whole command."""
    program = "say(b'ready\\n' if place else b'the key is no key'); time.sleep(60 if place else 0); sys.exit(2)"
    reported: list[None] = []

    with capture_logs() as logs, pytest.raises(NotStarted, match=r"^the key is no key$"):
        supervisor_of(3, program, tmp_path, lambda: reported.append(None)).run()

    assert [] == logs
    assert [] == reported


def test_start_error_without_text(tmp_path: Path) -> None:
    """A child that ends with status 2 and no text ends the supervisor with status 2."""
    assert 2 == supervisor_of(2, "sys.exit(2)", tmp_path).run()


def test_start_error_after_all_were_ready(tmp_path: Path) -> None:
    """Once all were ready, a child that cannot start again does not end the others."""
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
        signalling = signal_when(signal.SIGTERM, lambda: len(ended(logs)) >= 3)
        ready = partial((tmp_path / "all-ready").touch, exist_ok=False)
        status = supervisor_of(2, program, tmp_path, ready, backoff=(0.01, 0.02)).run()
        signalling.join()

    assert 0 == status
    assert ["exit 0", "exit 2", "exit 2"] == [one["ended"] for one in ended(logs)[:3]]
    assert [None, "Redis was not there", "Redis was not there"] == [one.get("error") for one in ended(logs)[:3]]


def full_disk(stack: ExitStack) -> None:
    """Let no file be written: the kernel refuses a file over the limit as it would on a full disk."""
    limit(stack, resource.RLIMIT_FSIZE, 0)


def full_descriptor_table(stack: ExitStack) -> None:
    """Leave only the descriptors that the parent itself needs, and one more."""
    limit(stack, resource.RLIMIT_NOFILE, 1000)
    with suppress(OSError), ExitStack() as free:
        for _ in range(3):
            free.callback(os.close, os.dup(0))
        while True:
            stack.callback(os.close, os.dup(0))


def limit(stack: ExitStack, what: int, most: int) -> None:
    """Set a resource limit of this process, until *stack* ends."""
    before = resource.getrlimit(what)
    resource.setrlimit(what, (most, before[1]))
    stack.callback(resource.setrlimit, what, before)


@pytest.mark.parametrize(
    ("lack", "reported"), [(full_disk, "File too large"), (full_descriptor_table, "Too many open files")]
)
def test_resources_missing_at_start(tmp_path: Path, lack: Callable[[ExitStack], None], reported: str) -> None:
    """A child that could not be started for lack of disk or descriptors is tried again until it starts."""
    program = "say(b'ready\\n'); time.sleep(60)"
    one = supervisor_of(1, program, tmp_path, lambda: signal.raise_signal(signal.SIGTERM), backoff=(0.01, 0.02))
    with capture_logs() as logs, ExitStack() as lacking:
        lack(lacking)
        relief = do_when(lambda: ended(logs), lacking.close)
        status = one.run()
        relief.join()

    assert 0 == status
    assert {f"the process could not be started: {reported}"} == {one["error"] for one in logs}


def test_child_ignores_sigterm(tmp_path: Path) -> None:
    """A child that does not end in time is killed, and the exit status shows it."""
    with capture_logs() as logs:
        status = supervisor_of(
            2, IGNORES_SIGTERM, tmp_path, lambda: signal.raise_signal(signal.SIGTERM), grace=0.1
        ).run()

    assert 1 == status
    assert ["members_killed"] == [one["event"] for one in logs]
    assert not any(alive(pid) for pid in logs[0]["pids"])


def test_second_signal(tmp_path: Path) -> None:
    """Law 11: a second signal ends all children at once."""
    began = time.monotonic()

    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)

    with capture_logs() as logs:
        status = supervisor_of(2, IGNORES_SIGTERM, tmp_path, twice).run()

    assert 1 == status
    assert time.monotonic() - began < 5
    assert not any(alive(pid) for pid in logs[0]["pids"])


def test_child_fails_while_ending(tmp_path: Path) -> None:
    """Law 10: a child that fails while it ends shows in the exit status."""
    program = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(1)); say(b'ready\\n'); time.sleep(60)"

    assert 1 == supervisor_of(2, program, tmp_path, lambda: signal.raise_signal(signal.SIGTERM)).run()


def test_parent_fails(tmp_path: Path) -> None:
    """A parent that fails leaves no child behind."""

    def fail() -> None:
        raise ZeroDivisionError

    with capture_logs() as logs, pytest.raises(ZeroDivisionError):
        supervisor_of(2, IGNORES_SIGTERM, tmp_path, fail).run()

    assert not any(alive(pid) for pid in logs[0]["pids"])
