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
from server.settings import Settings
from server.store.keys import key
from server.web import Web
from tests.rig import scripted
from tests.rig.process import Command, Run
from tests.rig.reads import Reads, definition
from tests.rig.redis import RedisServer, free_port
from tests.rig.server import SITE, TICKET, until

PATH = f"/v1/counters?ticket={TICKET}"
STREAM = f"/v1/counters/stream?ticket={TICKET}"

VIEWERS = 20
"""Two a wave."""

A_LITTLE = 1.0
"""Seconds beside those that are promised: the machine has other tests to run as well."""


def found(**given: Any) -> Settings:
    """Settings of a process that could run, but for what is given."""
    defaults: dict[str, Any] = {"wix_sites": SITE, "wix_app_id": "app", "wix_app_secret": "app-secret", "port": 0}
    return settings.load(_env_file=None, **{**defaults, "wix_api_url": "http://127.0.0.1:9", **given})


# -- the end of a process --


@dataclass(frozen=True, slots=True)
class Left:
    """How a viewer was sent away: when, with which word, and with which code."""

    at: float
    word: dict[str, Any]
    code: int


BYE = {"bye": {"retry_ms": [500, 5000]}}


async def watch_socket(socket: ClientConnection) -> Left:
    """View counters until the server closes."""
    word: dict[str, Any] = {}
    with suppress(ConnectionClosed):
        while True:
            word = json.loads(await socket.recv())
    assert socket.close_code is not None
    return Left(time.monotonic(), word, socket.close_code)


async def watch_stream(client: httpx.AsyncClient, came: asyncio.Semaphore) -> Left:
    """View counters until the server ends the stream; *came* is released when it has begun."""
    lines = []
    async with client.stream("GET", PATH, headers={"Accept": "text/event-stream"}) as answer:
        came.release()
        async for line in answer.aiter_lines():
            lines += [line] if line else []
    assert "event: bye" == lines[-2]
    return Left(time.monotonic(), json.loads(lines[-1].removeprefix("data: ")), answer.status_code)


def in_waves(left: Sequence[Left]) -> bool:
    """Tell whether these did not all leave in the same moment, but over some time, a few at once."""
    moments = sorted(one.at for one in left)
    apart = [later - earlier for earlier, later in pairwise(moments)]
    return moments[-1] - moments[0] > run.WAVES / 2 and max(apart) < run.WAVES / 3


async def test_sigterm_with_viewers(command: Run, redis_url: str) -> None:
    """Law 11: after SIGTERM a process is not ready, sends its viewers away in waves, and ends within the grace period."""
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
        # One who says nothing, as a browser does that connects in advance.
        stack.enter_context(socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))))

        began = time.monotonic()
        process.process.send_signal(signal.SIGTERM)
        await process.says("draining")
        ready = await client.get("/readyz")
        live = await client.get("/livez")
        late = await client.get(STREAM)
        left = await asyncio.gather(*watching)
        stream = await streaming
        status, _ = await process.ended()
        seconds = time.monotonic() - began

    assert (503, "no\n", 200) == (ready.status_code, ready.text, live.status_code)
    assert (503, "5") == (late.status_code, late.headers["Retry-After"])
    assert all((one.word, one.code) == (BYE, 1012) for one in left)
    assert BYE == stream.word
    assert in_waves(left)
    assert 0 == status
    assert seconds < run.DRAIN + A_LITTLE


async def test_sockets_in_waves(redis_url: str) -> None:
    """Law 11: sockets get their bye and a close with 1012, in waves; then uvicorn, worker and all tasks have ended."""
    wanted = found(redis_url=redis_url)
    stopping = asyncio.Event()
    async with AsyncExitStack() as stack:
        _, parts = await run._start(stack, wanted, web=True, worker=True, embed=False)
        web = next(part for part in parts if isinstance(part, Web))
        server, listening = http_server(web.app, web.descriptors, wanted), listen(wanted)
        watched = {type(part).__name__.lower(): asyncio.create_task(part.run()) for part in parts}
        watched["server"] = asyncio.create_task(server.serve([listening]))
        ending = asyncio.create_task(run._until(stopping, watched, parts, server))
        url = address(wanted, listening).replace("http", "ws", 1) + PATH
        sockets = [await stack.enter_async_context(connect(url)) for _ in range(VIEWERS)]
        watching = [asyncio.create_task(watch_socket(one)) for one in sockets]

        stopping.set()
        left = await asyncio.gather(*watching)
        status = await ending

    assert all((one.word, one.code) == (BYE, 1012) for one in left)
    assert in_waves(left)
    assert 0 == status
    assert all(task.done() for task in watched.values())
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(url.split(":")[2].split("/")[0])))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_alone(command: Run, redis_url: str, number: int) -> None:
    """Law 11: a web or a worker that nobody needs ends soon after either signal, with status 0 and nothing to say."""
    web, worker = command("web", REDIS_URL=redis_url), command("worker", REDIS_URL=redis_url)
    await web.url()
    await worker.says("wix_fault")

    ends = [await web.stop(number), await worker.stop(number)]

    assert [0, 0] == [status for status, _ in ends]
    assert all(seconds < 2 + A_LITTLE for _, seconds in ends)
    assert "Traceback" not in web.err + worker.err
    assert "error" not in web.err


async def test_second_signal(command: Run, redis_url: str) -> None:
    """Law 11: a second signal ends a process at once, whoever is still there."""
    process = command("web", REDIS_URL=redis_url)
    url = await process.url()

    async with httpx.AsyncClient(trust_env=False) as client, client.stream("GET", url + STREAM):
        process.process.send_signal(signal.SIGTERM)
        await process.says("draining")
        status, seconds = await process.stop(signal.SIGINT)

    assert 1 == status
    assert seconds < A_LITTLE


async def test_call_in_flight(command: Run, redis_url: str) -> None:
    """Law 11: a worker lets a read that has begun end, and keeps what it said: nothing claimed is lost."""
    async with aclosing(Reads(redis_url, SITE)) as reads, scripted.running() as wix:
        await reads.schedule.add_site(reads.site, reads.rules, everything=True)
        await reads.schedule.mark(reads.site, Hint("sold", (TicketId(TICKET),)))
        wix.hang()
        worker = command("worker", REDIS_URL=redis_url, WIX_API_URL=wix.url)
        await until(lambda: wix.asked)
        wix.free.set()
        wix.free.clear()  # the token is given, the read is not
        await until(lambda: wix.of("/query"))
        worker.process.send_signal(signal.SIGTERM)
        ending = asyncio.create_task(worker.ended())
        await asyncio.wait({ending}, timeout=0.5)
        assert not ending.done()
        wix.go_on()
        status, _ = await ending
        counter = await reads.store.do("HGET", key(SITE, "ticket", TICKET), "counter")

    assert 0 == status
    assert "drain_cut" not in worker.err
    assert "gone" == json.loads(counter)["state"]


async def test_signal_while_waiting(command: Run) -> None:
    """A signal ends a process at once that still waits for Redis."""
    process = command("web", REDIS_URL=f"redis://127.0.0.1:{free_port()}")
    await process.says("webhooks_refused")

    status, seconds = await process.stop()

    assert 0 == status
    assert seconds < A_LITTLE


DEAF = """
import asyncio
from server import run, settings
from server.http.server import Server, http_server

async def deaf():
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            print("cancelled", flush=True)

def ready(address):
    tasks.append(asyncio.get_running_loop().create_task(deaf()))
    print(f"address={address}", flush=True)

tasks = []
raise SystemExit(run.process(settings.load(), web=True, worker=False, embed=False, ready=ready, last=0.5))
"""


async def test_end_is_never_for_ever(command: Run, redis_url: str) -> None:
    """A task that hears no cancel does not keep the process: it ends in time, with a trace and status 1."""
    process = command(program=DEAF, REDIS_URL=redis_url)
    await process.says("address=")

    status, seconds = await process.stop()

    assert 1 == status
    assert seconds < 2 + A_LITTLE
    assert "cancelled" in process.out
    assert "Timeout (0:00:00.500000)!" in process.err


# -- parts that end by themselves --


def embedded(process: Command) -> int:
    """The pid of the embedded Valkey."""
    return int((process.folder / "data" / "valkey" / "lock").read_text().split()[0])


async def test_killed_valkey(command: Run) -> None:
    """Law 10: an embedded Valkey that dies takes the process down, with a line that says so and exit status 1."""
    process = command("serve")
    url = await process.url()
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as client:
        came = asyncio.Semaphore(0)
        watching = asyncio.create_task(watch_stream(client, came))
        await came.acquire()

        os.kill(embedded(process), signal.SIGKILL)
        left = await watching
        status, _ = await process.ended()

    line = next(line for line in process.err.splitlines() if "part_ended" in line)
    assert 1 == status
    assert "part=valkey" in line
    assert "the embedded Valkey server has ended (killed by SIGKILL)" in line
    assert "Traceback" not in process.err
    assert BYE == left.word


async def test_part_with_a_bug(command: Run, redis_url: str) -> None:
    """Law 10: a web or worker part that fails of what nobody foresaw takes the process down, and the trace is shown."""
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


async def test_late_redis(command: Run, redis_server: Callable[..., RedisServer]) -> None:
    """A Redis that comes after the process is waited for."""
    redis = redis_server()
    redis.kill()
    process = command("web", REDIS_URL=redis.url)
    await process.says("webhooks_refused")

    redis.start()
    url = await process.url()

    async with httpx.AsyncClient(trust_env=False) as client:
        assert "yes\n" == (await client.get(f"{url}/livez")).text


async def test_data_is_kept(command: Run, tmp_path: Path) -> None:
    """What was known before an orderly end of `serve` is shown after the next start, without a read of Wix."""
    kept = str(tmp_path / "kept")
    first = command("serve", DATA_DIR=kept)
    await first.url()
    async with aclosing(Reads(f"unix://{kept}/valkey/socket", SITE)) as reads:
        # The worker's own calls fail, so the site is paused: this read does not ask.
        await reads.read(definition(TICKET, 3), version=time.time_ns() // 1000)
    status, _ = await first.stop()

    second = command("serve", DATA_DIR=kept)
    async with httpx.AsyncClient(base_url=await second.url(), trust_env=False) as client:
        counter = (await client.get(PATH)).json()["counters"][0]

    assert 0 == status
    assert (TICKET, 3) == (counter["ticket"], counter["unsold"])


@pytest.mark.parametrize("setting", [{"appendonly": "no"}, {"maxmemory_policy": "allkeys-lru"}])
async def test_redis_that_loses(redis_server: Callable[..., RedisServer], setting: dict[str, str]) -> None:
    """A Redis that would lose what we promise is refused with the line that is missing, or taken with a warning."""
    redis = redis_server(**setting)

    with pytest.raises(NotStarted, match=r"set `(appendonly yes|maxmemory-policy noeviction)`.*ALLOW_UNSAFE_REDIS=1"):
        await run._fit(redis.url, found())
    with capture_logs() as logs:
        await run._fit(redis.url, found(allow_unsafe_redis=True))

    assert ["unsafe_redis"] == [one["event"] for one in logs]


async def test_no_redis() -> None:
    """A Redis that never comes is said to be missing, with the setting to check."""
    with pytest.raises(NotStarted, match=r"Redis was not there for 0 s: check REDIS_URL"):
        await run._fit(f"redis://127.0.0.1:{free_port()}", found(), patience=0.1)


@asynccontextmanager
async def old_redis(version: str) -> AsyncIterator[str]:
    """The address of something that speaks RESP as an old Redis does: to `INFO` it tells its version, to the rest OK."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while first := await reader.readline():
            words = []
            for _ in range(int(first[1:])):
                size = int((await reader.readline())[1:])
                words.append((await reader.readexactly(size + 2))[:-2].decode().upper())
            info = f"redis_version:{version}\r\naof_enabled:1\r\nmaxmemory_policy:noeviction\r\n"
            texts = {
                "INFO": f"${len(info)}\r\n{info}\r\n",
                "HELLO": "-ERR unknown command `HELLO`\r\n",
                "PING": "+PONG\r\n",
            }
            writer.write(texts.get(words[0], "+OK\r\n").encode())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}?protocol=2"


async def test_old_redis(command: Run) -> None:
    """A Redis before 7 is refused with its version, in a line, with exit status 2."""
    async with old_redis("6.2.14") as url:
        process = command("worker", REDIS_URL=url)
        status, _ = await process.ended()

    assert 2 == status
    assert "ticket-counter: Redis 6.2.14 is too old: 7.0 or Valkey is needed\n" == process.err


async def test_full_redis(command: Run, redis_server: Callable[..., RedisServer]) -> None:
    """A Redis without memory is refused at the start, in a line that names the cause."""
    process = command("worker", REDIS_URL=redis_server(maxmemory="1mb").url)
    status, _ = await process.ended()

    assert 2 == status
    assert process.err.startswith("ticket-counter: Redis did not take add_site")
    assert "maxmemory" in process.err
    assert 1 == len(process.err.splitlines())


async def test_before() -> None:
    """A start gives its result, or its fault; a signal that comes first cancels it, and it has cleaned up by then."""
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
    assert "started" == await run._before(stopping, start(0, "started"))
    with pytest.raises(NotStarted, match="no such host"):
        await run._before(stopping, fail())
    stopping.set()
    assert await run._before(stopping, start(60, "cut")) is None
    assert ["started", "cut"] == cleaned


# -- pieces --


@contextmanager
def deaf(cancels: int) -> Iterator[asyncio.Task[None]]:
    """A task that does not hear so many cancels; it ends with the block."""
    left = [cancels]

    async def sleep() -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                left[0] -= 1
                if left[0] < 0:
                    raise

    task = asyncio.create_task(sleep(), name="deaf")
    try:
        yield task
    finally:
        left[0] = 0
        task.cancel()


async def test_a_lost_cancel() -> None:
    """A task that lost a cancel is told again."""
    with deaf(2) as task:
        await asyncio.sleep(0)
        with capture_logs() as logs:
            await run._end([task], every=0.01)

        assert task.cancelled()
        assert [] == logs


async def test_a_task_that_never_hears() -> None:
    """A task that hears no cancel at all is named and left behind."""
    with deaf(1000) as task:
        await asyncio.sleep(0)
        with capture_logs() as logs:
            await run._end([task], every=0.01)

        assert not task.done()
        assert [("tasks_left", ["deaf"])] == [(one["event"], one["tasks"]) for one in logs]


async def test_cut_drain() -> None:
    """Law 11: a server that does not end does not outlast the grace period."""
    stopping = asyncio.Event()
    stopping.set()
    server = Server(uvicorn.Config(_nothing, log_config=None))
    watched = {"server": asyncio.create_task(asyncio.sleep(60))}

    with capture_logs() as logs:
        status = await run._until(stopping, watched, [], server, drain=0.05)

    assert 0 == status
    assert ["drain_cut"] == [one["event"] for one in logs]
    assert watched["server"].cancelled()


async def test_fault_at_the_end() -> None:
    """Law 10: a part that fails while the others end is told as well, and the status says so."""
    stopping = asyncio.Event()
    stopping.set()

    async def fail() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise RedisUnavailable("the last write was not taken")

    watched = {"worker": asyncio.create_task(fail())}
    await asyncio.sleep(0)

    with capture_logs() as logs:
        status = await run._until(stopping, watched, [], None)

    assert 1 == status
    assert [("part_ended", "worker", "the last write was not taken")] == [
        (one["event"], one["part"], one["error"]) for one in logs
    ]


@pytest.mark.parametrize(
    ("error", "text", "traced"),
    [
        (None, "it ended by itself", False),
        (RedisUnavailable("Redis is away"), "Redis is away", False),
        (
            ExceptionGroup("hub", [ExceptionGroup("rounds", [RedisUnavailable("Redis is away")])]),
            "Redis is away",
            False,
        ),
        (ExceptionGroup("hub", [ZeroDivisionError("division by zero")]), "division by zero", True),
    ],
)
async def test_what_is_told(error: Exception | None, text: str, *, traced: bool) -> None:
    """Law 10: what ended a part is told by its first cause; only a bug shows its trace."""

    async def part() -> None:
        if error is not None:
            raise error

    with capture_logs() as logs:
        status = await run._until(asyncio.Event(), {"web": asyncio.create_task(part())}, [], None)

    assert 1 == status
    assert [("part_ended", "web", text)] == [(one["event"], one["part"], one["error"]) for one in logs]
    assert (error if traced else None) is logs[0]["exc_info"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_process(redis_url: str, number: int) -> None:
    """A process of both parts says its address when it listens, ends with a signal, and leaves signals as they were."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    told = []

    def ready(address: str) -> None:
        told.append(address)
        signal.raise_signal(number)

    status = run.process(found(redis_url=redis_url), web=True, worker=True, embed=True, ready=ready)

    assert 0 == status
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", told[0])
    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))


def test_process_embeds(tmp_path: Path) -> None:
    """Without REDIS_URL a process that may brings a Valkey of its own, and takes it with it."""
    lock = tmp_path / "valkey" / "lock"

    def ready(_: str) -> None:
        os.kill(int(lock.read_text().split()[0]), 0)
        signal.raise_signal(signal.SIGTERM)

    status = run.process(found(data_dir=tmp_path), web=True, worker=True, embed=True, ready=ready)

    assert 0 == status
    with pytest.raises(ProcessLookupError):
        os.kill(int(lock.read_text().split()[0]), 0)


def test_everything_missing_at_once() -> None:
    """All that is not set and must be is told at once, before Redis is waited for."""
    bare = settings.load(_env_file=None, redis_url=None, wix_app_id=None, wix_app_secret=None, wix_api_key=None)

    with pytest.raises(NotStarted) as caught:
        run.process(bare, web=False, worker=True, embed=False, ready=print)

    assert all(name in str(caught.value) for name in ("REDIS_URL", "WIX_APP_ID", "WIX_APP_SECRET"))


async def _nothing(*_: Any) -> None:
    raise AssertionError


async def test_descriptors(command: Run, redis_url: str) -> None:
    """A process may open as many sockets as the machine allows, whatever shell it was started from."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
    try:
        process = command("web", REDIS_URL=redis_url)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    await process.url()

    assert (hard, hard) == resource.prlimit(process.process.pid, resource.RLIMIT_NOFILE)
