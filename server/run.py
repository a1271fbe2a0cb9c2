"""Runs a process: web, worker, or both in one loop; its signals, and its end.

In: settings and which rooms to run. Out: an exit status. A task that ends by itself ends the process with a line that
says which (a supervisor starts it again, whole); SIGTERM and SIGINT end it in order: not ready → viewers sent away →
uvicorn → worker → embedded Valkey. A second signal ends it at once, and no end takes for ever: what hangs is left.
"""

import asyncio
import contextlib
import faulthandler
import gc
import os
import resource
import signal
from collections.abc import Callable, Collection, Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import uvloop

from server import logs, valkey
from server.errors import NotStarted, RedisUnavailable, RedisUnfit, TicketCounterError
from server.http.listen import address, listen
from server.http.server import Server, http_server
from server.redis.client import RedisClient, Use
from server.settings import Settings
from server.web import Web
from server.wire import RESTART_RETRY_MS
from server.worker import Worker

PATIENCE = 30.0
"""Seconds that a start waits for a Redis that is not there yet: a Procfile starts all at once."""
DRAIN = 10.0
"""Seconds from SIGTERM to the end."""
TELL_EVERY, TELL_TIMES = 1.0, 5
"""Seconds after which a task that did not hear its cancel is told again, and how often before it is left behind."""
LAST = valkey.PATIENCE_S + 5.0
"""Seconds in which connections and the embedded Valkey close; then the process ends without them."""
WAVES = 3.0
"""Seconds over which viewers are sent away."""
STDERR = 2

log = logs.logger("run")

_T = TypeVar("_T")


def process(
    settings: Settings,
    *,
    web: bool,
    worker: bool,
    embed: bool,
    ready: Callable[[str], None],
    child: bool = False,
    last: float = LAST,
) -> int:
    """Run until a signal or a fault; *ready* is told the address of the web part. Answers the exit status.

    A *member* of a crew shares its port with the others, and leaves it to their parent to be hasty.
    """
    _raise_descriptors()
    _calm_collector()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(
                _process(settings, web=web, worker=worker, embed=embed, ready=ready, child=child, last=last)
            )
    finally:
        faulthandler.cancel_dump_traceback_later()


async def _process(
    settings: Settings,
    *,
    web: bool,
    worker: bool,
    embed: bool,
    ready: Callable[[str], None],
    child: bool,
    last: float,
) -> int:
    # What is missing is said at once, not after waiting for Redis.
    _complete(settings, worker=worker, redis=not embed)
    async with AsyncExitStack() as stack:
        stopping = _signals(stack, hasty=not child)
        if web and settings.key is None:
            log.warning("webhooks_refused", reason="WIX_PUBLIC_KEY is not set: copy it from the app's Webhooks page")
        try:
            started = await _before(stopping, _start(stack, settings, web=web, worker=worker, embed=embed))
            if started is None:
                return 0
            embedded, parts = started
            listening = listen(settings, shared=child) if web else None
            # Nothing runs before everything could start.
            running = {type(part).__name__.lower(): part.run() for part in parts}
            if embedded is not None:
                running["valkey"] = embedded.ended()
            server = None
            if listening is not None:
                web_part = next(part for part in parts if isinstance(part, Web))
                server = http_server(web_part.app, web_part.descriptors, settings)
                running["server"] = server.serve([listening])
                ready(address(settings, listening))
            watched = {name: asyncio.create_task(coroutine, name=name) for name, coroutine in running.items()}
            return await _until(stopping, watched, parts, server)
        finally:
            # A thread of its own keeps this promise, and prints where we hung: even a loop that stands still ends.
            faulthandler.dump_traceback_later(last, exit=True, file=STDERR)


def _complete(settings: Settings, *, worker: bool, redis: bool) -> None:
    """Raise NotStarted with everything that is not set and must be."""
    missing = []
    for needed, read in ((redis, settings.redis), (worker, settings.credentials)):
        try:
            if needed:
                read()
        except NotStarted as error:
            missing.append(str(error))
    if missing:
        raise NotStarted("\n".join(missing))


async def _start(
    stack: AsyncExitStack, settings: Settings, *, web: bool, worker: bool, embed: bool
) -> tuple[valkey.Valkey | None, list[Web | Worker]]:
    """Everything that may have to wait, for Redis; *stack* closes it again."""
    embedded = None
    if embed and settings.redis_url is None:
        embedded = await stack.enter_async_context(valkey.running(settings.data_dir))
    url = embedded.url if embedded else settings.redis()
    parts: list[Web | Worker] = []
    if worker:
        parts.append(Worker(settings, url))
    if web:
        parts.append(Web(settings, url))
    for part in parts:
        stack.push_async_callback(part.aclose)
    await _fit(url, settings)
    for part in parts:
        await part.start()
    return embedded, parts


async def _before(stopping: asyncio.Event, start: Coroutine[None, None, _T]) -> _T | None:
    """Do the waiting part of a start, or answer None when a signal came before it was done."""
    starting = asyncio.create_task(start, name="start")
    signalled = asyncio.create_task(stopping.wait())
    await asyncio.wait({starting, signalled}, return_when=asyncio.FIRST_COMPLETED)
    signalled.cancel()
    if starting.done():
        return starting.result()
    await _end([starting])
    return None


async def _until(
    stopping: asyncio.Event,
    watched: dict[str, asyncio.Task[None]],
    parts: list[Web | Worker],
    server: Server | None,
    *,
    drain: float = DRAIN,
) -> int:
    """Wait for a signal, or for a task that ends by itself; then end the rest in order."""
    signalled = asyncio.create_task(stopping.wait())
    await asyncio.wait({signalled, *watched.values()}, return_when=asyncio.FIRST_COMPLETED)
    signalled.cancel()
    early = {name for name, task in watched.items() if task.done()}
    for name in early:
        _tell(name, _error(watched[name]))
    try:
        async with asyncio.timeout(drain):
            await _drain(watched, parts, server)
    except TimeoutError:
        log.warning("drain_cut", seconds=drain)
    await _end(watched.values())
    late = {name: error for name in watched.keys() - early if (error := _error(watched[name]))}
    for name, error in late.items():
        _tell(name, error)
    return 1 if early or late else 0


async def _end(tasks: Collection[asyncio.Task[Any]], every: float = TELL_EVERY) -> None:
    """Cancel tasks and wait for them, but not for ever.

    They are told again and again: on Python 3.11 asyncio.wait_for can lose a cancel (python/cpython#86296).
    """
    left = set(tasks)
    for _ in range(TELL_TIMES):
        for task in left:
            task.cancel()
        if left:
            _, left = await asyncio.wait(left, timeout=every)
    if left:
        log.error("tasks_left", tasks=sorted(task.get_name() for task in left))


def _error(task: asyncio.Task[Any]) -> BaseException | None:
    return task.exception() if task.done() and not task.cancelled() else None


def _tell(name: str, error: BaseException | None) -> None:
    """Say which part ended, and why."""
    cause = error
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    # A fault of ours that explains itself is a line; anything else is a bug, and shows.
    trace = None if isinstance(cause, TicketCounterError) else error
    log.error("part_ended", part=name, error="it ended by itself" if cause is None else str(cause), exc_info=trace)


async def _drain(watched: dict[str, asyncio.Task[None]], parts: list[Web | Worker], server: Server | None) -> None:
    for part in parts:
        if isinstance(part, Web):
            part.admission.open = False
            if part.hub.viewers:
                log.info("draining", viewers=len(part.hub.viewers))
                await part.hub.close_all(*RESTART_RETRY_MS, WAVES)
    if server is not None:
        server.should_exit = True
        await asyncio.wait({watched["server"]})
    for part in parts:
        if isinstance(part, Worker):
            part.stop()
            await asyncio.wait({watched["worker"]})


def _signals(stack: AsyncExitStack, *, hasty: bool = True) -> asyncio.Event:
    """Tell of the first signal, until *stack* ends; a second one ends the process at once, where that is *hasty*.

    A member of a crew may hear of one wish twice: from its parent, and from a supervisor that tells every process.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if stopping.is_set() and hasty:
            os._exit(1)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
        stack.callback(loop.remove_signal_handler, number)
    return stopping


async def _fit(url: str, settings: Settings, patience: float = PATIENCE) -> None:
    """Wait for Redis, and refuse one that would lose data."""
    redis = RedisClient(url, Use.WORK)
    try:
        await redis.wait(patience)
        for fault in await redis.check(unsafe=settings.allow_unsafe_redis):
            log.warning("unsafe_redis", fault=fault)
    except RedisUnavailable as error:
        raise NotStarted(f"Redis was not there for {patience:.0f} s: check REDIS_URL ({error})") from None
    except RedisUnfit as error:
        raise NotStarted(str(error)) from None
    finally:
        await redis.aclose()


def _calm_collector() -> None:
    """Let the garbage collector look seldom: viewers are thousands of objects that live, and no cycles.

    As Python sets it up it walks through all of them again and again while they come in: a third of what that costs.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _raise_descriptors() -> None:
    """Let the process open as many sockets as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError):  # macOS says that there is no limit, and then does not allow that
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
