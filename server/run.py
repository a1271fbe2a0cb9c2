"""Runs a process: the web part, the worker, or both in one event loop; handles its signals and its end.

In: settings and which parts to run. Out: an exit status. A task that ends by itself ends the process, with a log line
that says which (a supervisor restarts it as a whole). SIGTERM and SIGINT end it in order: not ready → viewers closed →
uvicorn → worker → embedded Valkey. A second signal ends it at once. The end has a time limit: what hangs is abandoned.
"""

import asyncio
import faulthandler
import gc
import os
import signal
import socket
from collections.abc import Callable, Collection, Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import uvloop

from server import logs, valkey
from server.errors import NotStarted, RedisUnavailable, RedisUnfit, TicketCounterError
from server.http.descriptors import raise_limit
from server.http.listen import address, listen
from server.http.server import Server, http_server, worker_server
from server.redis.client import RedisClient, Use
from server.settings import Settings
from server.start_summary import StartSummary
from server.web import Web
from server.wire import RESTART_RETRY_MS
from server.worker import Worker

REDIS_WITHIN = 30.0
"""Seconds that a start waits for a Redis that is not up yet: a Procfile starts everything at once."""
DRAIN = 10.0
"""Seconds from SIGTERM to the end."""
CANCEL_EVERY, CANCEL_TIMES = 1.0, 5
"""Seconds until a task that did not end is cancelled again, and how often before it is abandoned."""
CLOSE_WITHIN = valkey.TIME_LIMIT + 5.0
"""Seconds in which connections and the embedded Valkey close; then the process ends without them."""
WAVES = 3.0
"""Seconds over which the viewers' connections are closed."""
STDERR = 2

log = logs.logger("run")

_T = TypeVar("_T")


def run_process(
    settings: Settings,
    *,
    web: bool,
    worker: bool,
    embed: bool,
    ready: Callable[[str], None],
    child: bool = False,
    summary: bool = False,
    close_within: float = CLOSE_WITHIN,
) -> int:
    """Run until a signal or a fault, and return the exit status; *ready* gets the address where it listens, if it does.

    *summary*: what a person has to know of the web part is printed once. *embed* starts a Valkey where REDIS_URL is not set. A
    *child* of a supervisor shares its port with the others, and does not end at once on a second signal: its parent decides that.
    Raises NotStarted.
    """
    raise_limit()
    _tune_garbage_collector()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(
                _run(settings, ready, close_within, web=web, worker=worker, embed=embed, child=child, summary=summary)
            )
    finally:
        faulthandler.cancel_dump_traceback_later()


async def _run(
    settings: Settings,
    ready: Callable[[str], None],
    close_within: float,
    *,
    web: bool,
    worker: bool,
    embed: bool,
    child: bool,
    summary: bool,
) -> int:
    # Missing settings are reported at once, before waiting for Redis.
    _require_settings(settings, worker=worker, redis=not embed)
    async with AsyncExitStack() as stack:
        stopping = _stop_event(stack, exit_on_second=not child)
        if web and settings.key is None:
            log.warning("webhooks_refused", reason="WIX_PUBLIC_KEY is not set: copy it from the app's Webhooks page")
        try:
            started = await _unless_stopped(stopping, _start(stack, settings, web=web, worker=worker, embed=embed))
            if started is None:
                return 0
            embedded, parts = started
            listening = _listening(settings, web=web, shared=child)
            # Nothing runs before everything could start.
            running = {type(part).__name__.lower(): part.run() for part in parts}
            if embedded is not None:
                running["valkey"] = embedded.ended()
            server = None
            if listening is not None:
                server = _server(parts, settings)
                running["server"] = server.serve([listening])
                ready(address(settings, listening))
                for part in parts:
                    if summary and isinstance(part, Web):
                        found = StartSummary(settings, part.schedule, address(settings, listening))
                        stack.push_async_callback(_cancel, [asyncio.create_task(found.run(), name="summary")])
            tasks = {name: asyncio.create_task(coroutine, name=name) for name, coroutine in running.items()}
            return await _until_stopped(stopping, tasks, parts, server)
        finally:
            # A thread ends the process in time, with a traceback of where it hangs, even if the event loop is blocked.
            faulthandler.dump_traceback_later(close_within, exit=True, file=STDERR)


def _listening(settings: Settings, *, web: bool, shared: bool) -> socket.socket | None:
    """The socket of the web part, or of a separate worker; None where that has no port. Raises NotStarted."""
    if web:
        return listen(settings, shared=shared)
    return None if settings.worker_port is None else listen(settings, port=settings.worker_port)


def _server(parts: list[Web | Worker], settings: Settings) -> Server:
    """The server of the web part, or of a separate worker."""
    for part in parts:
        if isinstance(part, Web):
            return http_server(part.app, part.descriptors, settings)
    [worker] = (part for part in parts if isinstance(part, Worker))
    return worker_server(worker.app())


def _require_settings(settings: Settings, *, worker: bool, redis: bool) -> None:
    """Raise NotStarted with every required setting that is missing."""
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
    """Start everything that may have to wait for Redis; *stack* closes it again."""
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
    await _check_redis(url, settings)
    for part in parts:
        await part.start()
    return embedded, parts


async def _unless_stopped(stopping: asyncio.Event, start: Coroutine[None, None, _T]) -> _T | None:
    """The result of *start*; None if a signal came first, and then *start* is cancelled."""
    starting = asyncio.create_task(start, name="start")
    signalled = asyncio.create_task(stopping.wait())
    await asyncio.wait({starting, signalled}, return_when=asyncio.FIRST_COMPLETED)
    signalled.cancel()
    if starting.done():
        return starting.result()
    await _cancel([starting])
    return None


async def _until_stopped(
    stopping: asyncio.Event,
    tasks: dict[str, asyncio.Task[None]],
    parts: list[Web | Worker],
    server: Server | None,
    *,
    drain: float = DRAIN,
) -> int:
    """Wait for a signal or a task that ends by itself; then end the others in order, and return the exit status."""
    signalled = asyncio.create_task(stopping.wait())
    await asyncio.wait({signalled, *tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
    signalled.cancel()
    early = {name for name, task in tasks.items() if task.done()}
    for name in early:
        _log_end(name, _exception_of(tasks[name]))
    try:
        async with asyncio.timeout(drain):
            await _drain(tasks, parts, server)
    except TimeoutError:
        log.warning("drain_cut", seconds=drain)
    await _cancel(tasks.values())
    late = {name: error for name in tasks.keys() - early if (error := _exception_of(tasks[name]))}
    for name, error in late.items():
        _log_end(name, error)
    return 1 if early or late else 0


async def _cancel(tasks: Collection[asyncio.Task[Any]], every: float = CANCEL_EVERY) -> None:
    """Cancel tasks and wait for them, with a time limit.

    Each is cancelled again until it ends: on Python 3.11 asyncio.wait_for can lose a cancel (python/cpython#86296).
    """
    left = set(tasks)
    for _ in range(CANCEL_TIMES):
        for task in left:
            task.cancel()
        if left:
            _, left = await asyncio.wait(left, timeout=every)
    if left:
        log.error("tasks_left", tasks=sorted(task.get_name() for task in left))


def _exception_of(task: asyncio.Task[Any]) -> BaseException | None:
    return task.exception() if task.done() and not task.cancelled() else None


def _log_end(name: str, error: BaseException | None) -> None:
    """Log which part ended, and why."""
    cause = error
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    # The text of an error of errors.py is enough; any other is a bug, and needs its traceback.
    trace = None if isinstance(cause, TicketCounterError) else error
    log.error("part_ended", part=name, error="it ended by itself" if cause is None else str(cause), exc_info=trace)


async def _drain(tasks: dict[str, asyncio.Task[None]], parts: list[Web | Worker], server: Server | None) -> None:
    for part in parts:
        if isinstance(part, Web):
            part.admission.open = False
            if part.hub.viewers:
                log.info("draining", viewers=len(part.hub.viewers))
                await part.hub.close_all(*RESTART_RETRY_MS, WAVES)
    if server is not None:
        server.should_exit = True
        await asyncio.wait({tasks["server"]})
    for part in parts:
        if isinstance(part, Worker):
            part.stop()
            await asyncio.wait({tasks["worker"]})


def _stop_event(stack: AsyncExitStack, *, exit_on_second: bool = True) -> asyncio.Event:
    """An event that the first SIGTERM or SIGINT sets, until *stack* ends; a second one may end the process at once.

    A supervisor's child may get a signal twice: from its parent, and from a terminal or systemd, which signal the group.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if stopping.is_set() and exit_on_second:
            os._exit(1)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
        stack.callback(loop.remove_signal_handler, number)
    return stopping


async def _check_redis(url: str, settings: Settings, within: float = REDIS_WITHIN) -> None:
    """Wait for Redis, and refuse one that would lose data: raises NotStarted."""
    redis = RedisClient(url, Use.WORK, settings.redis_prefix)

    def late(error: str) -> None:
        log.warning("waiting_for_redis", error=error, seconds=within, hint="start Redis, or correct REDIS_URL")

    try:
        await redis.wait(within, late)
        for fault in await redis.check(unsafe=settings.allow_unsafe_redis):
            log.warning("unsafe_redis", fault=fault)
    except RedisUnavailable as error:
        raise NotStarted(f"Redis was not available within {within:.0f} s: check REDIS_URL ({error})") from None
    except RedisUnfit as error:
        raise NotStarted(str(error)) from None
    finally:
        await redis.aclose()


def _tune_garbage_collector() -> None:
    """Let the garbage collector run rarely: viewers are thousands of objects that live long, without cycles.

    With Python's thresholds it walks through all of them again and again while they connect, a third of their cost.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
