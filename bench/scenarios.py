"""The scenarios: each starts a server and viewers, and measures figures.

In: the name of a server, and a setup. Out: figures by name; `FIGURES` has their meaning, and whether lower is better. A
scenario raises ScenarioFailed if a server lost a message: figures of such a run would be worthless.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import servers
from bench.servers import Redis, Server, ticket_ids
from bench.viewers import Viewers

PUBLISH_GAP = 0.051
"""Seconds between two single publishes, for all servers: ticket-counter flushes at most every 50 ms."""
WARM_UP = 16
MIN_VIEWERS = 1000
"""Fewest viewers from which the cost of one viewer is computed: with fewer, one-time costs dominate."""
VIEWERS_PER_TICKET = 20
STUCK_EVERY, STUCK_SECONDS = 100, 45.0
"""Every 100th viewer stops reading; it must be dropped within these seconds: the time to fill its socket, and 15 s."""
SUSTAINED_MS = 250
"""The p99 latency up to which a rate counts as sustained."""


class ScenarioFailed(Exception):
    """A server did not do what the scenario measures."""


@dataclass(frozen=True, slots=True)
class Figure:
    """The meaning of a figure."""

    unit: str
    less_is_better: bool = False


FIGURES = {
    "one": Figure("deliveries per CPU second, one publish at a time"),
    "eight": Figure("deliveries per CPU second, eight publishes at a time"),
    "accepts": Figure("viewers accepted per CPU second"),
    "bytes": Figure("bytes of user memory per idle viewer", less_is_better=True),
    "p50": Figure("p50 latency in ms, 10 publishes per second", less_is_better=True),
    "p99": Figure("p99 latency in ms, 10 publishes per second", less_is_better=True),
    "sustained": Figure(f"deliveries per second of wall-clock time, p99 latency within {SUSTAINED_MS} ms"),
    "sustained_p99": Figure("p99 latency in ms at that rate", less_is_better=True),
    "many": Figure("deliveries per CPU second, 20 viewers per ticket"),
    "hot_writes": Figure("most messages per viewer and second, 1,000 changes per second", less_is_better=True),
    "hot_p99": Figure("p99 latency in ms of the last change", less_is_better=True),
    "hot_cores": Figure("CPU cores used", less_is_better=True),
    "healthy_p99": Figure("p99 latency in ms, no viewer stuck", less_is_better=True),
    "beside_stuck_p99": Figure("p99 latency in ms of the others, every 100th viewer stuck", less_is_better=True),
    "stuck_left": Figure("stuck viewers still connected at the end", less_is_better=True),
    "stuck_bytes": Figure("most bytes of memory per stuck viewer", less_is_better=True),
    "busy": Figure("peak share of its core used by the viewers' process", less_is_better=True),
}


@dataclass(frozen=True, slots=True)
class Setup:
    """A folder for files, the number of sockets, and the duration of each part in seconds."""

    folder: Path
    sockets: int
    seconds: float


@contextmanager
def running(name: str, setup: Setup, tickets: tuple[str, ...] = servers.TICKETS) -> Iterator[tuple[Server, Viewers]]:
    """A running server with its Redis, and viewers that are not connected yet."""
    with ExitStack() as stack:
        redis = Redis.start(setup.folder)
        stack.callback(redis.end)
        server = servers.start(name, setup.folder, redis, tickets=tickets)
        stack.callback(server.end)
        viewers = Viewers(setup.folder)
        stack.callback(viewers.end)
        viewers.opening(server.headers, server.greeting)
        yield server, viewers


def _connect(server: Server, viewers: Viewers, paths: list[str], sockets: int, *, narrow: int = 0) -> None:
    opened = viewers.connect(server.port, paths, sockets, narrow=narrow)
    if opened["open"] != sockets:
        raise ScenarioFailed(f"{server.name} accepted {opened['open']} of {sockets}")
    if server.greeting:
        time.sleep(1.0)  # until the server has read the last greeting


def _check_complete(server: Server, run: dict[str, float], deliveries: int) -> dict[str, float]:
    if run["delivered"] != run["published"] * deliveries:
        raise ScenarioFailed(f"{server.name} delivered {run['delivered']} of {run['published'] * deliveries}")
    return run


def delivery(name: str, setup: Setup) -> dict[str, float]:
    """CPU per delivery, memory per viewer, CPU per handshake, and the latency at ten publishes per second."""
    sockets = setup.sockets
    with running(name, setup) as (server, viewers):
        memory, cpu = server.memory, server.cpu
        _connect(server, viewers, [server.path], sockets)
        found = {}
        if sockets >= MIN_VIEWERS:
            found = {"accepts": sockets / (server.cpu - cpu), "bytes": (server.memory - memory) / sockets}
        viewers.trigger(server.publish_port, server.templates, sockets, server.hello)
        viewers.run(WARM_UP, 1)
        busy = 0.0
        for question, inflight, gap in (("one", 1, PUBLISH_GAP), ("eight", 8, 0.0)):
            cpu = server.cpu
            run = _check_complete(server, viewers.run(20_000, inflight, seconds=setup.seconds, gap=gap), sockets)
            found[question] = run["delivered"] / (server.cpu - cpu)
            busy = max(busy, run["load_cpu"] / run["seconds"])
        if min(found["one"], found["eight"]) > 10 * sockets:  # otherwise the server falls behind, without limit
            time.sleep(3 * PUBLISH_GAP)  # a first publish right after a flush would wait for the next one
            calm = _check_complete(server, viewers.rate(10, setup.seconds), sockets)
            found |= {"p50": calm["p50_ms"], "p99": calm["p99_ms"]}
        return {**found, "busy": busy}


def sustained(name: str, setup: Setup) -> dict[str, float]:
    """Deliveries per second of wall-clock time while the p99 latency stays below SUSTAINED_MS."""
    with running(name, setup) as (server, viewers):
        _connect(server, viewers, [server.path], setup.sockets)
        viewers.trigger(server.publish_port, server.templates, setup.sockets, server.hello)
        viewers.run(WARM_UP, 1)
        for inflight in (8, 4, 2, 1):
            run = _check_complete(server, viewers.run(20_000, inflight, seconds=setup.seconds), setup.sockets)
            if run["p99_ms"] < SUSTAINED_MS:
                break
        else:
            raise ScenarioFailed(f"{name} has a p99 latency of {run['p99_ms']:.0f} ms even with one publish at a time")
        return {
            "sustained": run["delivered"] / run["seconds"],
            "sustained_p99": run["p99_ms"],
            "busy": run["load_cpu"] / run["seconds"],
        }


def many(name: str, setup: Setup) -> dict[str, float]:
    """CPU per delivery with small audiences: each viewer watches two tickets, each ticket has twenty viewers."""
    tickets = ticket_ids(2 * setup.sockets // VIEWERS_PER_TICKET)
    pairs = zip(tickets[::2], tickets[1::2], strict=True)
    with running(name, setup, tickets) as (server, viewers):
        # Publish before viewers connect: ticket-counter limits how many unconfirmed tickets an address may watch.
        viewers.trigger(server.publish_port, server.templates, 0, server.hello)
        viewers.run(len(tickets), len(tickets))
        time.sleep(1.0)
        _connect(server, viewers, [servers.path(pair) for pair in pairs], setup.sockets)
        viewers.trigger(server.publish_port, server.templates, VIEWERS_PER_TICKET, server.hello)
        viewers.run(len(tickets), len(tickets))
        cpu = server.cpu
        run = _check_complete(
            server, viewers.run(1_000_000, len(tickets) // 2, seconds=setup.seconds), VIEWERS_PER_TICKET
        )
        return {"many": run["delivered"] / (server.cpu - cpu), "busy": run["load_cpu"] / run["seconds"]}


def hot(name: str, setup: Setup) -> dict[str, float]:
    """One ticket that changes 1,000 times per second: messages per viewer, and the latency of the last change."""
    with running(name, setup, servers.TICKETS[:1]) as (server, viewers):
        _connect(server, viewers, [server.path], setup.sockets)
        viewers.trigger(server.publish_port, server.templates, setup.sockets, server.hello)
        viewers.run(WARM_UP, 1)
        cpu, times = server.cpu, 5
        run = viewers.hot(1000, setup.seconds, times)
        if run["complete"] != times:
            raise ScenarioFailed(f"{name} did not deliver the last change to every viewer")
        return {
            "hot_writes": run["most"] / run["seconds"],
            "hot_p99": run["p99_ms"],
            "hot_cores": (server.cpu - cpu) / run["seconds"],
            "busy": run["load_cpu"] / run["seconds"],
        }


def stuck(name: str, setup: Setup) -> dict[str, float]:
    """Viewers that stop reading: the latency of the others, and whether the stuck ones are dropped."""
    found = {}
    for figure, every in (("healthy_p99", 0), ("beside_stuck_p99", STUCK_EVERY)):
        with running(name, setup) as (server, viewers):
            _connect(server, viewers, [server.path], setup.sockets, narrow=STUCK_EVERY)
            stalled = -(-setup.sockets // every) if every else 0
            # All eight tickets in one publish: 2.6 kB per viewer fill the buffer of a remote socket within seconds.
            burst = b"".join(server.templates)
            viewers.trigger(server.publish_port, [burst], setup.sockets * len(server.templates), server.hello)
            viewers.run(2, 1)
            viewers.stall(every)
            memory = server.memory
            with _peak(lambda: server.memory) as most:
                run = viewers.rate(1, STUCK_SECONDS)
            _check_complete(server, run, (setup.sockets - stalled) * len(server.templates))
            found[figure] = run["p99_ms"]
            if every:
                found["stuck_bytes"] = (most[-1] - memory) / stalled
                # A viewer that does not read cannot notice that the server closed the connection: let all read.
                viewers.stall(0)
                time.sleep(3.0)
                found["stuck_left"] = viewers.stall(0)["open"] - (setup.sockets - stalled)
    return found


@contextmanager
def _peak(measure: Callable[[], float]) -> Iterator[list[float]]:
    """Measure repeatedly during the block; the last item of the list is the maximum."""
    found = [measure()]
    ended = threading.Event()

    def poll() -> None:
        while not ended.wait(0.5):
            found.append(max(found[-1], measure()))

    polling = threading.Thread(target=poll)
    polling.start()
    try:
        yield found
    finally:
        ended.set()
        polling.join()


@dataclass(frozen=True, slots=True)
class Scenario:
    """The function to run, the numbers of sockets, and the servers; --quick skips *long* ones."""

    run: Callable[[str, Setup], dict[str, float]]
    sockets: tuple[int, ...]
    on: tuple[str, ...] = servers.NAMES
    long: bool = False


SCENARIOS = {
    "delivery": Scenario(delivery, (1, 1000, 5000, 10_000, 18_000)),
    "sustained": Scenario(sustained, (10_000,), ("ours", "limit", "merged", "nchan", "ws", "websockets", "socketio")),
    "many": Scenario(many, (10_000,), ("ours", "limit")),
    "hot": Scenario(hot, (5000,), ("ours",)),
    "stuck": Scenario(stuck, (18_000,), ("ours",), long=True),
}
