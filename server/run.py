"""Runs a process: web, worker, or both in one loop; its signals, and its end.

In: settings and which rooms to run. Out: an exit status. A task that ends by itself ends the process with a line that
says which (a supervisor starts it again, whole); SIGTERM and SIGINT end it in order: not ready → viewers sent away →
uvicorn → worker → embedded Valkey. A second signal ends it at once.
"""

import asyncio
import contextlib
import os
import resource
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack

import uvicorn
import uvloop

from server import logs, valkey
from server.app import Web
from server.errors import NotStarted, StoreUnavailable, StoreUnfit, TicketCounterError
from server.live.protocol import CounterProtocol
from server.settings import Settings
from server.store import Store, Use
from server.worker import Worker

PATIENCE = 30.0
"""Seconds that a start waits for a Redis that is not there yet: a Procfile starts all at once."""
DRAIN = 10.0
"""Seconds from SIGTERM to the end."""
WAVES = 3.0
"""Seconds over which viewers are sent away."""
BACK_MS = (500, 5000)
"""Milliseconds after which they are asked to come back."""
BACKLOG = 2048

log = logs.logger("run")


class Server(uvicorn.Server):
    """Uvicorn without its signals: the process is ended by us, in our order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


def process(settings: Settings, *, web: bool, worker: bool, embed: bool, ready: Callable[[str], None]) -> int:
    """Run until a signal or a fault; *ready* is told the address of the web part. Answers the exit status."""
    _raise_descriptors()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_process(settings, web=web, worker=worker, embed=embed, ready=ready))


async def _process(settings: Settings, *, web: bool, worker: bool, embed: bool, ready: Callable[[str], None]) -> int:
    stopping = _signals()
    if worker:
        settings.credentials()  # what is missing is said at once, not after waiting for Redis
    if web and settings.key is None:
        log.warning("webhooks_refused", reason="WIX_PUBLIC_KEY is not set: copy it from the app's Webhooks page")
    async with AsyncExitStack() as stack:
        watched: dict[str, asyncio.Task[None]] = {}
        if embed and settings.redis_url is None:
            embedded = await stack.enter_async_context(valkey.running(settings.data_dir))
            watched["valkey"] = asyncio.create_task(embedded.ended())
            url = embedded.url
        else:
            url = settings.redis()
        parts: list[Web | Worker] = []
        if worker:
            parts.append(Worker(settings, url))
        if web:
            parts.append(Web(settings, url))
        for part in parts:
            stack.push_async_callback(part.aclose)
        if not await _before(stopping, _start(url, settings, parts)):
            return 0
        listening = listen(settings) if web else None
        # Nothing runs before everything could start.
        for part in parts:
            watched[type(part).__name__.lower()] = asyncio.create_task(part.run())
        server = None
        if listening is not None:
            site = next(part for part in parts if isinstance(part, Web))
            server = front(site, settings)
            watched["server"] = asyncio.create_task(server.serve([listening]))
            ready(address(settings, listening))
        return await _until(stopping, watched, parts, server)


async def _start(url: str, settings: Settings, parts: list[Web | Worker]) -> None:
    await _fit(url, settings)
    for part in parts:
        await part.start()


async def _before(stopping: asyncio.Event, start: Coroutine[None, None, None]) -> bool:
    """Do the waiting part of a start, and answer whether it was done before a signal came."""
    starting = asyncio.create_task(start)
    signalled = asyncio.create_task(stopping.wait())
    await asyncio.wait({starting, signalled}, return_when=asyncio.FIRST_COMPLETED)
    signalled.cancel()
    if starting.done():
        starting.result()
        return True
    starting.cancel()
    await asyncio.wait({starting})
    return False


async def _until(
    stopping: asyncio.Event,
    watched: dict[str, asyncio.Task[None]],
    parts: list[Web | Worker],
    server: Server | None,
) -> int:
    """Wait for a signal, or for a task that ends by itself; then end the rest in order."""
    signalled = asyncio.create_task(stopping.wait())
    await asyncio.wait({signalled, *watched.values()}, return_when=asyncio.FIRST_COMPLETED)
    status = 0
    for name, task in watched.items():
        if task.done():
            error = None if task.cancelled() else task.exception()
            cause = _cause(error)
            # A fault of ours that explains itself is a line; anything else is a bug, and shows.
            trace = None if isinstance(cause, TicketCounterError) else error
            log.error("part_ended", part=name, error=str(cause or "it ended by itself"), exc_info=trace)
            status = 1
    signalled.cancel()
    try:
        async with asyncio.timeout(DRAIN):
            await _drain(watched, parts, server)
    except TimeoutError:
        log.warning("drain_cut", seconds=DRAIN)
    for task in watched.values():
        task.cancel()
    await asyncio.gather(*watched.values(), return_exceptions=True)
    return status


def _cause(error: BaseException | None) -> BaseException | None:
    """What a group of tasks failed from."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _drain(watched: dict[str, asyncio.Task[None]], parts: list[Web | Worker], server: Server | None) -> None:
    for part in parts:
        if isinstance(part, Web):
            part.doors.open = False
            if part.hub.viewers:
                log.info("draining", viewers=len(part.hub.viewers))
                await part.hub.farewell(*BACK_MS, WAVES)
    if server is not None:
        server.should_exit = True
        await asyncio.wait({watched["server"]})
    for part in parts:
        if isinstance(part, Worker):
            part.stop()
            await asyncio.wait({watched["worker"]})


def _signals() -> asyncio.Event:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if stopping.is_set():
            os._exit(1)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    return stopping


async def _fit(url: str, settings: Settings) -> None:
    """Wait for Redis, and refuse one that would lose data."""
    store = Store(url, Use.WORK)
    try:
        await store.wait(PATIENCE)
        for fault in await store.check(unsafe=settings.allow_unsafe_redis):
            log.warning("unsafe_redis", fault=fault)
    except StoreUnavailable as error:
        raise NotStarted(f"Redis was not there for {PATIENCE:.0f} s: check REDIS_URL ({error})") from None
    except StoreUnfit as error:
        raise NotStarted(str(error)) from None
    finally:
        await store.aclose()


def front(web: Web, settings: Settings) -> Server:
    """Uvicorn around our routes, with our WebSocket class."""
    return Server(
        uvicorn.Config(
            web.app,
            ws=CounterProtocol,
            http="httptools",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            root_path=settings.root_path,
            proxy_headers=False,  # live/doors.py reads them, the same way for HTTP and WebSocket
            timeout_graceful_shutdown=5,
            backlog=BACKLOG,
        )
    )


def listen(settings: Settings) -> socket.socket:
    """A listening socket of our own: what it accepts inherits the time after which a dead reader is dropped."""
    try:
        [(family, _, _, _, address), *_] = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        both = settings.host == "::" and socket.has_dualstack_ipv6()
        listening = socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=both)
    except OSError as error:
        raise NotStarted(
            f"cannot listen on {settings.host}:{settings.port} ({error.strerror}): change HOST or PORT"
        ) from None
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 15_000)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return listening


def address(settings: Settings, listening: socket.socket) -> str:
    """Where a person on this machine reaches it."""
    host = "127.0.0.1" if settings.host in {"0.0.0.0", "::"} else settings.host  # noqa: S104 - compared, not bound
    return f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"


def _raise_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
