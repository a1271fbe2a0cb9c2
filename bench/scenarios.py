"""What is asked of a server that runs: each question takes one to a run of viewers and answers figures.

In: a name and a way to start it. Out: figures by name; `FIGURES` says what each is and whether less is better. A
question raises ScenarioFailed where a server lost what it had to deliver: a figure of such a run would be no figure.
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
"""Seconds between two publishes where they come one by one: ours sends at most every 50 ms, so all get that long."""
WARM_UP = 16
MIN_VIEWERS = 1000
"""Viewers without whom what one of them costs cannot be told from what the first one costs."""
VIEWERS_PER_TICKET = 20
STUCK_EVERY, STUCK_SECONDS = 100, 45.0
"""Each so many-th reads no more, and the seconds in which it has to be dropped: those that fill its socket, and 15."""
SUSTAINED_MS = 250
"""Sustained is what reaches everyone within this, at the 99th percentile."""


class ScenarioFailed(Exception):
    """A server did not do what a question is about."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What one number means."""

    unit: str
    less_is_better: bool = False


FIGURES = {
    "one": Figure("deliveries a CPU second, a publish at a time"),
    "eight": Figure("deliveries a CPU second, eight publishes at a time"),
    "accepts": Figure("viewers let in, a CPU second"),
    "bytes": Figure("bytes of user memory, an idle viewer", less_is_better=True),
    "p50": Figure("ms until half have it, 10 publishes a second", less_is_better=True),
    "p99": Figure("ms until 99 of 100 have it, 10 publishes a second", less_is_better=True),
    "sustained": Figure(f"deliveries a second of the clock, 99 of 100 within {SUSTAINED_MS} ms"),
    "sustained_p99": Figure("ms until 99 of 100 have it, at that rate", less_is_better=True),
    "many": Figure("deliveries a CPU second, 20 viewers a ticket"),
    "hot_writes": Figure("messages a viewer and second, at most, of 1,000 changes a second", less_is_better=True),
    "hot_p99": Figure("ms until 99 of 100 have the last of them", less_is_better=True),
    "hot_cores": Figure("cores used meanwhile", less_is_better=True),
    "healthy_p99": Figure("ms until 99 of 100 have it, nobody stuck", less_is_better=True),
    "beside_stuck_p99": Figure("ms until 99 of 100 of the others have it, each 100th stuck", less_is_better=True),
    "stuck_left": Figure("stuck viewers still connected at the end", less_is_better=True),
    "stuck_bytes": Figure("bytes of memory, a stuck viewer, at most", less_is_better=True),
    "busy": Figure("share of its core that the viewers' process used, at most", less_is_better=True),
}


@dataclass(frozen=True, slots=True)
class Setup:
    """Where a question is asked: a folder for files, the number of sockets, the seconds that each part may take."""

    folder: Path
    sockets: int
    seconds: float


@contextmanager
def running(name: str, setup: Setup, tickets: tuple[str, ...] = servers.TICKETS) -> Iterator[tuple[Server, Viewers]]:
    """A server with its Redis, and viewers who are not connected yet."""
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
        raise ScenarioFailed(f"{server.name} let in {opened['open']} of {sockets}")
    if server.greeting:
        time.sleep(1.0)  # until the last greeting has been understood


def _check_complete(server: Server, run: dict[str, float], deliveries: int) -> dict[str, float]:
    if run["delivered"] != run["published"] * deliveries:
        raise ScenarioFailed(f"{server.name} delivered {run['delivered']} of {run['published'] * deliveries}")
    return run


def delivery(name: str, setup: Setup) -> dict[str, float]:
    """What a delivery, a viewer and an opening cost, and how long ten publishes a second take to reach everyone."""
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
        if min(found["one"], found["eight"]) > 10 * sockets:  # else it falls behind, by as much as we wait
            time.sleep(3 * PUBLISH_GAP)  # a first publish right after a flush would wait for the next one
            calm = _check_complete(server, viewers.rate(10, setup.seconds), sockets)
            found |= {"p50": calm["p50_ms"], "p99": calm["p99_ms"]}
        return {**found, "busy": busy}


def sustained(name: str, setup: Setup) -> dict[str, float]:
    """How much it delivers, second by second of the clock, while nobody waits for long."""
    with running(name, setup) as (server, viewers):
        _connect(server, viewers, [server.path], setup.sockets)
        viewers.trigger(server.publish_port, server.templates, setup.sockets, server.hello)
        viewers.run(WARM_UP, 1)
        for inflight in (8, 4, 2, 1):
            run = _check_complete(server, viewers.run(20_000, inflight, seconds=setup.seconds), setup.sockets)
            if run["p99_ms"] < SUSTAINED_MS:
                break
        else:
            raise ScenarioFailed(f"{name} took {run['p99_ms']:.0f} ms for 99 of 100 with one publish at a time")
        return {
            "sustained": run["delivered"] / run["seconds"],
            "sustained_p99": run["p99_ms"],
            "busy": run["load_cpu"] / run["seconds"],
        }


def many(name: str, setup: Setup) -> dict[str, float]:
    """What a delivery costs where a change concerns few: each viewer watches two tickets, each ticket has twenty."""
    tickets = ticket_ids(2 * setup.sockets // VIEWERS_PER_TICKET)
    pairs = zip(tickets[::2], tickets[1::2], strict=True)
    with running(name, setup, tickets) as (server, viewers):
        # They are known before anybody comes: of tickets that may be invented, ours lets an address watch few.
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
    """One ticket that changes a thousand times a second: what a viewer gets of it, and when it has the last."""
    with running(name, setup, servers.TICKETS[:1]) as (server, viewers):
        _connect(server, viewers, [server.path], setup.sockets)
        viewers.trigger(server.publish_port, server.templates, setup.sockets, server.hello)
        viewers.run(WARM_UP, 1)
        cpu, times = server.cpu, 5
        run = viewers.hot(1000, setup.seconds, times)
        if run["complete"] != times:
            raise ScenarioFailed(f"{name} did not bring the last change to everyone")
        return {
            "hot_writes": run["most"] / run["seconds"],
            "hot_p99": run["p99_ms"],
            "hot_cores": (server.cpu - cpu) / run["seconds"],
            "busy": run["load_cpu"] / run["seconds"],
        }


def stuck(name: str, setup: Setup) -> dict[str, float]:
    """What the others notice of viewers who read no more, and what becomes of those."""
    found = {}
    for figure, every in (("healthy_p99", 0), ("beside_stuck_p99", STUCK_EVERY)):
        with running(name, setup) as (server, viewers):
            _connect(server, viewers, [server.path], setup.sockets, narrow=STUCK_EVERY)
            stalled = -(-setup.sockets // every) if every else 0
            # All eight at once, as one publish: some 2.6 kB a viewer fill what a far socket can hold in seconds.
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
                # Nothing tells who does not read that the other side has hung up: only now they find out.
                viewers.stall(0)
                time.sleep(3.0)
                found["stuck_left"] = viewers.stall(0)["open"] - (setup.sockets - stalled)
    return found


@contextmanager
def _peak(measure: Callable[[], float]) -> Iterator[list[float]]:
    """The most that was measured meanwhile, as the last of the list."""
    found = [measure()]
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.5):
            found.append(max(found[-1], measure()))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield found
    finally:
        ended.set()
        looking.join()


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is asked, with how many sockets, of whom; a *long* one is left out where there is little time."""

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
