import asyncio
import json
import os
import re
import resource
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from server import run, settings
from server.errors import NotStarted, RedisUnavailable
from server.http.listen import address, listen
from server.http.server import Server, http_server
from server.model import Hint, TicketId
from server.redis.client import RedisClient, Use
from server.web import Web
from tests.rig import fake_wix
from tests.rig.default_keys import key
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.process import Command, Run
from tests.rig.redis import RedisServer, free_port
from tests.rig.server import SITE, TICKET, until
from tests.rig.settings import valid_settings

PATH = f"/v1/counters?ticket={TICKET}"
STREAM = f"/v1/counters/stream?ticket={TICKET}"

VIEWERS = 20
"""Two in each wave."""

A_LITTLE = 1.0
"""Seconds over those that are promised, for a busy machine."""


# -- the end of a process --


@dataclass(frozen=True, slots=True)
class Closed:
    """How a viewer's connection was closed: when, after which frame, and with which code."""

    at: float
    frame: dict[str, Any]
    code: int


BYE = {"bye": {"retry_ms": [500, 5000]}}


async def watch_socket(socket: ClientConnection) -> Closed:
    """View counters over WebSocket until the server closes."""
    frame: dict[str, Any] = {}
    with suppress(ConnectionClosed):
        while True:
            frame = json.loads(await socket.recv())
    assert socket.close_code is not None
    return Closed(time.monotonic(), frame, socket.close_code)


async def watch_stream(client: httpx.AsyncClient, came: asyncio.Semaphore) -> Closed:
    """View counters over SSE until the server ends the stream; *came* is released when it has begun."""
    lines = []
    async with client.stream("GET", PATH, headers={"Accept": "text/event-stream"}) as answer:
        came.release()
        async for line in answer.aiter_lines():
            lines += [line] if line else []
    assert "event: bye" == lines[-2]
    return Closed(time.monotonic(), json.loads(lines[-1].removeprefix("data: ")), answer.status_code)


def in_waves(closed: Sequence[Closed]) -> bool:
    """Whether these were not all closed in the same moment, but over some time, a few at once."""
    moments = sorted(one.at for one in closed)
    apart = [later - earlier for earlier, later in pairwise(moments)]
    return moments[-1] - moments[0] > run.WAVES / 2 and max(apart) < run.WAVES / 3


async def test_sigterm_with_viewers(command: Run, redis_url: str) -> None:
    """Law 11: after SIGTERM a process is not ready, closes its viewers in waves, and ends within the grace period."""
    process = command("web", REDIS_URL=redis_url)
    url = await process.url()
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=url, trust_env=False, timeout=20))
        came = asyncio.Semaphore(0)
        streaming = asyncio.create_task(watch_stream(client, came))
        await came.acquire()
        sockets = [
            await stack.enter_async_context(connect(url.replace("http", "ws", 1) + PATH)) for _ in range(VIEWERS)
        ]
        watching = [asyncio.create_task(watch_socket(one)) for one in sockets]
        # A client that sends nothing, as a browser that connects in advance.
        stack.enter_context(socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))))

        began = time.monotonic()
        process.process.send_signal(signal.SIGTERM)
        await process.says("draining")
        ready = await client.get("/readyz")
        live = await client.get("/livez")
        late = await client.get(STREAM)
        closed = await asyncio.gather(*watching)
        stream = await streaming
        status, _ = await process.ended()
        seconds = time.monotonic() - began

    assert (503, "no\n", 200) == (ready.status_code, ready.text, live.status_code)
    assert (503, "5") == (late.status_code, late.headers["Retry-After"])
    assert all((one.frame, one.code) == (BYE, 1012) for one in closed)
    assert BYE == stream.frame
    assert in_waves(closed)
    assert 0 == status
    assert seconds < run.DRAIN + A_LITTLE


async def test_worker_with_a_port_of_its_own(command: Run, redis_url: str) -> None:
    """A separate worker answers /livez, /readyz and /metrics on WORKER_PORT, which the token protects, and ends as before."""
    process = command("worker", REDIS_URL=redis_url, WORKER_PORT="0", METRICS_TOKEN="secret")
    token = {"Authorization": "Bearer secret"}
    async with httpx.AsyncClient(base_url=await process.url(), trust_env=False, timeout=20) as client:
        await until(lambda: _ready(client))
        live, details = await client.get("/livez"), await client.get("/readyz", headers=token)
        without, metrics = await client.get("/metrics"), await client.get("/metrics", headers=token)
        counters = await client.get(PATH)
        status, _ = await process.stop()

    assert (200, {"redis": True, "running": True, "wix": True}) == (live.status_code, details.json())
    assert (401, 200, 404) == (without.status_code, metrics.status_code, counters.status_code)
    assert "wix_calls" in metrics.text
    assert 0 == status


async def _ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/readyz")).status_code == 200


async def test_worker_without_a_port_listens_nowhere(command: Run, redis_url: str) -> None:
    """Without WORKER_PORT a worker has no listening socket."""
    process = command("worker", REDIS_URL=redis_url)
    async with aclosing(RedisClient(redis_url, Use.WORK)) as redis:
        await until(lambda: redis.do("GET", "tc:worker"))
    listening = _listening_sockets(process.process.pid)
    status, _ = await process.stop()

    assert (set(), 0) == (listening, status)
    assert "listening" not in process.err


def _listening_sockets(pid: int) -> set[str]:
    """The inodes of the sockets of a process that listen for TCP."""
    lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    lines += Path(f"/proc/{pid}/net/tcp6").read_text().splitlines()[1:]
    listen_state = "0A"
    inodes = {f"socket:[{fields[9]}]" for fields in map(str.split, lines) if fields[3] == listen_state}
    used: set[str] = set()
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since the folder was read
            used.add(str(one.readlink()))
    return inodes & used


async def test_websockets_closed_in_waves(redis_url: str) -> None:
    """Law 11: WebSockets get their bye and a close with 1012, in waves; then uvicorn, worker and all tasks end."""
    wanted = valid_settings(redis_url=redis_url)
    stopping = asyncio.Event()
    async with AsyncExitStack() as stack:
        _, parts = await run._start(stack, wanted, web=True, worker=True, embed=False)
        web = next(part for part in parts if isinstance(part, Web))
        server, listening = http_server(web.app, web.descriptors, wanted), listen(wanted)
        tasks = {type(part).__name__.lower(): asyncio.create_task(part.run()) for part in parts}
        tasks["server"] = asyncio.create_task(server.serve([listening]))
        ending = asyncio.create_task(run._until_stopped(stopping, tasks, parts, server))
        url = address(wanted, listening).replace("http", "ws", 1) + PATH
        sockets = [await stack.enter_async_context(connect(url)) for _ in range(VIEWERS)]
        watching = [asyncio.create_task(watch_socket(one)) for one in sockets]

        stopping.set()
        closed = await asyncio.gather(*watching)
        status = await ending

    assert all((one.frame, one.code) == (BYE, 1012) for one in closed)
    assert in_waves(closed)
    assert 0 == status
    assert all(task.done() for task in tasks.values())
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(url.split(":")[2].split("/")[0])))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_without_viewers(command: Run, redis_url: str, number: int) -> None:
    """Law 11: a web or worker process without work ends soon after either signal, with status 0 and no error."""
    web, worker = command("web", REDIS_URL=redis_url), command("worker", REDIS_URL=redis_url)
    await web.url()
    await worker.says("wix_fault")

    ends = [await web.stop(number), await worker.stop(number)]

    assert [0, 0] == [status for status, _ in ends]
    assert all(seconds < 2 + A_LITTLE for _, seconds in ends)
    assert "Traceback" not in web.err + worker.err
    assert "error" not in web.err


async def test_second_signal(command: Run, redis_url: str) -> None:
    """Law 11: a second signal ends a process at once, even with viewers connected."""
    process = command("web", REDIS_URL=redis_url)
    url = await process.url()

    async with httpx.AsyncClient(trust_env=False) as client, client.stream("GET", url + STREAM):
        process.process.send_signal(signal.SIGTERM)
        await process.says("draining")
        status, seconds = await process.stop(signal.SIGINT)

    assert 1 == status
    assert seconds < A_LITTLE


async def test_worker_finishes_its_call(command: Run, redis_url: str) -> None:
    """Law 11: a worker lets a call in flight finish and keeps its answer: nothing claimed is lost."""
    async with aclosing(FakeReader(redis_url, SITE)) as reads, fake_wix.running() as wix:
        await reads.schedule.add_site(reads.site, reads.rules, everything=True)
        await reads.schedule.mark(reads.site, Hint("sold", (TicketId(TICKET),)))
        wix.hold()
        worker = command("worker", REDIS_URL=redis_url, WIX_API_URL=wix.url)
        await until(lambda: wix.requests)
        wix.free.set()
        wix.free.clear()  # the token is given, the read is not
        await until(lambda: wix.requests_to("/query"))
        worker.process.send_signal(signal.SIGTERM)
        ending = asyncio.create_task(worker.ended())
        await asyncio.wait({ending}, timeout=0.5)
        assert not ending.done()
        wix.resume()
        status, _ = await ending
        counter = await reads.store.do("HGET", key(SITE, "ticket", TICKET), "counter")

    assert 0 == status
    assert "drain_cut" not in worker.err
    assert "gone" == json.loads(counter)["state"]


async def test_signal_while_waiting_for_redis(command: Run) -> None:
    """A signal ends at once a process that still waits for Redis."""
    process = command("web", REDIS_URL=f"redis://127.0.0.1:{free_port()}")
    await process.says("webhooks_refused")

    status, seconds = await process.stop()

    assert 0 == status
    assert seconds < A_LITTLE


IGNORES_CANCEL = """
import asyncio
from server import run, settings
from server.http.server import Server, http_server

async def ignoring():
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            print("cancelled", flush=True)

def ready(address):
    tasks.append(asyncio.get_running_loop().create_task(ignoring()))
    print(f"address={address}", flush=True)

tasks = []
raise SystemExit(run.run_process(settings.load(), web=True, worker=False, embed=False, ready=ready, close_within=0.5))
"""


async def test_hanging_task_does_not_prevent_end(command: Run, redis_url: str) -> None:
    """A task that ignores its cancellation does not delay the end: the process exits with a traceback and status 1."""
    process = command(program=IGNORES_CANCEL, REDIS_URL=redis_url)
    await process.says("address=")

    status, seconds = await process.stop()

    assert 1 == status
    assert seconds < 2 + A_LITTLE
    assert "cancelled" in process.out
    assert "Timeout (0:00:00.500000)!" in process.err


# -- parts that end by themselves --


def embedded_pid(process: Command) -> int:
    """The pid of the embedded Valkey."""
    return int((process.folder / "data" / "valkey" / "lock").read_text().split()[0])


async def test_killed_embedded_valkey(command: Run) -> None:
    """Law 10: an embedded Valkey that dies takes the process down, with a line that says so and exit status 1."""
    process = command("serve")
    url = await process.url()
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as client:
        came = asyncio.Semaphore(0)
        watching = asyncio.create_task(watch_stream(client, came))
        await came.acquire()

        os.kill(embedded_pid(process), signal.SIGKILL)
        closed = await watching
        status, _ = await process.ended()

    line = next(line for line in process.err.splitlines() if "part_ended" in line)
    assert 1 == status
    assert "part=valkey" in line
    assert "the embedded Valkey server has ended (killed by SIGKILL)" in line
    assert "Traceback" not in process.err
    assert BYE == closed.frame


async def test_bug_ends_process(command: Run, redis_url: str) -> None:
    """Law 10: a web or worker part that fails with an unexpected exception ends the process, with its traceback."""
    web, worker = command("web", REDIS_URL=redis_url), command("worker", REDIS_URL=redis_url)
    await web.url()
    await worker.says("wix_fault")

    async with aclosing(RedisClient(redis_url, Use.WORK)) as store:
        await store.do("SET", "tc:sites", "a key of this name is a set")
        ends = {"web": await web.ended(), "worker": await worker.ended()}
        await store.do("DEL", "tc:sites")

    for process, name in ((web, "web"), (worker, "worker")):
        assert 1 == ends[name][0]
        assert re.search(rf"part_ended.*error='WRONGTYPE .*part={name}", process.err)
        assert "Traceback" in process.err


# -- the start --


async def test_waits_for_redis(command: Run, redis_server: Callable[..., RedisServer]) -> None:
    """A process waits for a Redis that starts later."""
    redis = redis_server()
    redis.kill()
    process = command("web", REDIS_URL=redis.url)
    await process.says("webhooks_refused")

    redis.start()
    url = await process.url()

    async with httpx.AsyncClient(trust_env=False) as client:
        assert "yes\n" == (await client.get(f"{url}/livez")).text


async def test_embedded_data_survives_restart(command: Run, tmp_path: Path) -> None:
    """What was known before an orderly end of `serve` is shown after the next start, without a read of Wix."""
    kept = str(tmp_path / "kept")
    first = command("serve", DATA_DIR=kept)
    await first.url()
    async with aclosing(FakeReader(f"unix://{kept}/valkey/socket", SITE)) as reads:
        # The worker's own calls fail, so the site is paused: this read does not ask.
        await reads.read(definition(TICKET, 3), version=time.time_ns() // 1000)
    status, _ = await first.stop()

    second = command("serve", DATA_DIR=kept)
    async with httpx.AsyncClient(base_url=await second.url(), trust_env=False) as client:
        counter = (await client.get(PATH)).json()["counters"][0]

    assert 0 == status
    assert (TICKET, 3) == (counter["ticket"], counter["unsold"])


@pytest.mark.parametrize("setting", [{"appendonly": "no"}, {"maxmemory_policy": "allkeys-lru"}])
async def test_unsafe_redis(redis_server: Callable[..., RedisServer], setting: dict[str, str]) -> None:
    """A Redis that may lose data is refused with the setting to change, or accepted with a warning."""
    redis = redis_server(**setting)

    with pytest.raises(NotStarted, match=r"set `(appendonly yes|maxmemory-policy noeviction)`.*ALLOW_UNSAFE_REDIS=1"):
        await run._check_redis(redis.url, valid_settings())
    with capture_logs() as logs:
        await run._check_redis(redis.url, valid_settings(allow_unsafe_redis=True))

    assert ["unsafe_redis"] == [one["event"] for one in logs]


async def test_redis_never_available() -> None:
    """A Redis that never comes is reported, with the setting to check."""
    with pytest.raises(NotStarted, match=r"Redis was not available within 0 s: check REDIS_URL"):
        await run._check_redis(f"redis://127.0.0.1:{free_port()}", valid_settings(), within=0.1)


async def test_waiting_for_redis_is_said(command: Run) -> None:
    """A start that waits for Redis says so after a second, with where it looked, once, and with what to do."""
    port = free_port()
    process = command("web", REDIS_URL=f"redis://127.0.0.1:{port}")
    await process.says("webhooks_refused")
    began = asyncio.get_running_loop().time()
    await process.says("waiting_for_redis")
    seconds = asyncio.get_running_loop().time() - began
    await asyncio.sleep(1)
    await process.stop()

    [line] = [line for line in process.err.splitlines() if "waiting_for_redis" in line]
    assert str(port) in line
    assert "correct REDIS_URL" in line
    assert 5 > seconds


@asynccontextmanager
async def old_redis(version: str) -> AsyncIterator[str]:
    """The address of a server that answers as an old Redis: its version to `INFO`, OK to the rest."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while first := await reader.readline():
            words = []
            for _ in range(int(first[1:])):
                size = int((await reader.readline())[1:])
                words.append((await reader.readexactly(size + 2))[:-2].decode().upper())
            info = f"redis_version:{version}\r\naof_enabled:1\r\nmaxmemory_policy:noeviction\r\n"
            texts = {
                "INFO": f"${len(info)}\r\n{info}\r\n",
                "HELLO": f"%2\r\n+proto\r\n:3\r\n+version\r\n+{version}\r\n",
                "PING": "+PONG\r\n",
            }
            writer.write(texts.get(words[0], "+OK\r\n").encode())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_redis_too_old(command: Run) -> None:
    """A Redis before 7 is refused with its version, in one line, with exit status 2."""
    async with old_redis("6.2.14") as url:
        process = command("worker", REDIS_URL=url)
        status, _ = await process.ended()

    assert 2 == status
    assert "ticket-counter: Redis 6.2.14 is too old: 7.0 or Valkey is needed\n" == process.err


async def test_redis_without_memory(command: Run, redis_server: Callable[..., RedisServer]) -> None:
    """A Redis without memory is refused at the start, in one line that names the cause."""
    process = command("worker", REDIS_URL=redis_server(maxmemory="1mb").url)
    status, _ = await process.ended()

    assert 2 == status
    assert process.err.startswith("ticket-counter: Redis did not take add_site")
    assert "maxmemory" in process.err
    assert 1 == len(process.err.splitlines())


async def test_unless_stopped() -> None:
    """A start gives its result or its error; a signal that comes first cancels it, and waits for its cleanup."""
    cleaned = []

    async def start(seconds: float, result: str) -> str:
        try:
            await asyncio.sleep(seconds)
        finally:
            cleaned.append(result)
        return result

    async def fail() -> None:
        raise NotStarted("no such host")

    stopping = asyncio.Event()
    assert "started" == await run._unless_stopped(stopping, start(0, "started"))
    with pytest.raises(NotStarted, match="no such host"):
        await run._unless_stopped(stopping, fail())
    stopping.set()
    assert await run._unless_stopped(stopping, start(60, "cut")) is None
    assert ["started", "cut"] == cleaned


# -- pieces --


@contextmanager
def ignoring(cancels: int) -> Iterator[asyncio.Task[None]]:
    """A task that ignores so many cancellations; it ends with the block."""
    left = [cancels]

    async def sleep() -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                left[0] -= 1
                if left[0] < 0:
                    raise

    task = asyncio.create_task(sleep(), name="stubborn")
    try:
        yield task
    finally:
        left[0] = 0
        task.cancel()


async def test_lost_cancel_is_repeated() -> None:
    """A task that lost a cancellation is cancelled again."""
    with ignoring(2) as task:
        await asyncio.sleep(0)
        with capture_logs() as logs:
            await run._cancel([task], every=0.01)

        assert task.cancelled()
        assert [] == logs


async def test_task_ignores_every_cancel() -> None:
    """A task that ignores every cancellation is logged by name and abandoned."""
    with ignoring(1000) as task:
        await asyncio.sleep(0)
        with capture_logs() as logs:
            await run._cancel([task], every=0.01)

        assert not task.done()
        assert [("tasks_left", ["stubborn"])] == [(one["event"], one["tasks"]) for one in logs]


async def test_drain_time_limit() -> None:
    """Law 11: a server that does not end does not outlast the grace period."""
    stopping = asyncio.Event()
    stopping.set()
    server = Server(uvicorn.Config(_nothing, log_config=None))
    tasks = {"server": asyncio.create_task(asyncio.sleep(60))}

    with capture_logs() as logs:
        status = await run._until_stopped(stopping, tasks, [], server, drain=0.05)

    assert 0 == status
    assert ["drain_cut"] == [one["event"] for one in logs]
    assert tasks["server"].cancelled()


async def test_failure_while_ending() -> None:
    """Law 10: a part that fails while the others end is logged too, and the exit status shows it."""
    stopping = asyncio.Event()
    stopping.set()

    async def fail() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise RedisUnavailable("the last write was not taken")

    tasks = {"worker": asyncio.create_task(fail())}
    await asyncio.sleep(0)

    with capture_logs() as logs:
        status = await run._until_stopped(stopping, tasks, [], None)

    assert 1 == status
    assert [("part_ended", "worker", "the last write was not taken")] == [
        (one["event"], one["part"], one["error"]) for one in logs
    ]


@pytest.mark.parametrize(
    ("error", "text", "traced"),
    [
        (None, "it ended by itself", False),
        (RedisUnavailable("Redis is unavailable"), "Redis is unavailable", False),
        (
            ExceptionGroup("hub", [ExceptionGroup("rounds", [RedisUnavailable("Redis is unavailable")])]),
            "Redis is unavailable",
            False,
        ),
        (ExceptionGroup("hub", [ZeroDivisionError("division by zero")]), "division by zero", True),
    ],
)
async def test_logged_cause(error: Exception | None, text: str, *, traced: bool) -> None:
    """Law 10: the end of a part is logged with its first cause; only a bug is logged with its traceback."""

    async def part() -> None:
        if error is not None:
            raise error

    with capture_logs() as logs:
        status = await run._until_stopped(asyncio.Event(), {"web": asyncio.create_task(part())}, [], None)

    assert 1 == status
    assert [("part_ended", "web", text)] == [(one["event"], one["part"], one["error"]) for one in logs]
    assert (error if traced else None) is logs[0]["exc_info"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_process_until_signal(redis_url: str, number: int) -> None:
    """A process of both parts reports its address when it listens, ends at a signal, and restores signal handlers."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    addresses = []

    def ready(address: str) -> None:
        addresses.append(address)
        signal.raise_signal(number)

    status = run.run_process(valid_settings(redis_url=redis_url), web=True, worker=True, embed=True, ready=ready)

    assert 0 == status
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", addresses[0])
    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))


def test_process_embeds_valkey(tmp_path: Path) -> None:
    """Without REDIS_URL a process that may embed a Valkey starts one, and ends it too."""
    lock = tmp_path / "valkey" / "lock"

    def ready(_: str) -> None:
        os.kill(int(lock.read_text().split()[0]), 0)
        signal.raise_signal(signal.SIGTERM)

    status = run.run_process(valid_settings(data_dir=tmp_path), web=True, worker=True, embed=True, ready=ready)

    assert 0 == status
    with pytest.raises(ProcessLookupError):
        os.kill(int(lock.read_text().split()[0]), 0)


def test_all_missing_settings_reported() -> None:
    """All required settings that are missing are reported at once, before Redis is waited for."""
    bare = settings.load(_env_file=None, redis_url=None, wix_app_id=None, wix_app_secret=None, wix_api_key=None)

    with pytest.raises(NotStarted) as caught:
        run.run_process(bare, web=False, worker=True, embed=False, ready=print)

    assert all(name in str(caught.value) for name in ("REDIS_URL", "WIX_APP_ID", "WIX_APP_SECRET"))


async def _nothing(*_: Any) -> None:
    raise AssertionError


async def test_descriptor_limit(command: Run, redis_url: str) -> None:
    """A process may open as many sockets as the hard limit allows, whatever the shell's soft limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
    try:
        process = command("web", REDIS_URL=redis_url)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    await process.url()

    assert (hard, hard) == resource.prlimit(process.process.pid, resource.RLIMIT_NOFILE)
