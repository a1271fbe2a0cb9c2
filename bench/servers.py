"""The servers of a run, each on one core, and what is measured of them: CPU seconds, private bytes.

In: a name of PEERS. Out: a running Server, which says how its viewers come in and how it is published to. What a peer
is made of is fetched by bench/install.py, and how it is started is in bench/server_configs.py.
"""

import functools
import os
import resource
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import install, server_configs
from bench.server_configs import SERVER_CONFIGS, RunContext
from bench.viewers import SERVER_CORE, VIEWER_CORE, pinned
from server import valkey

ROOT = install.ROOT
NAMES = tuple(SERVER_CONFIGS)
TITLES = {name: config.title for name, config in SERVER_CONFIGS.items()}


def ticket_ids(number: int) -> tuple[str, ...]:
    """So many tickets."""
    return tuple(f"11111111-aaaa-4aaa-8aaa-{one:012}" for one in range(number))


def path(tickets: Sequence[str]) -> str:
    """Where a viewer of these tickets asks."""
    return "/v1/counters?" + "&".join(f"ticket={ticket}" for ticket in tickets)


TICKETS = ticket_ids(8)
PATH = path(TICKETS)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as tried:
        return int(tried.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Redis:
    """The Redis of a run, on the viewers' core: it is not what is measured."""

    process: subprocess.Popen[bytes]
    port: int

    @classmethod
    def start(cls, folder: Path) -> "Redis":
        """Start an empty one."""
        port = free_port()
        data = folder / f"redis-{port}"
        data.mkdir()
        command = [str(valkey.binary()), str(valkey.CONF), "--port", str(port), "--dir", str(data)]
        process = subprocess.Popen(pinned(VIEWER_CORE, *command), stdout=subprocess.DEVNULL)
        found = cls(process, port)
        try:
            wait_for(port, process)
        except TimeoutError:
            found.end()
            raise
        return found

    def end(self) -> None:
        """Stop it; nothing of it is kept."""
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True, slots=True)
class Server:
    """One server that runs, how its viewers come in, and how it is published to."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    path: str
    headers: str
    """More lines for a viewer's request."""
    greeting: bytes
    """What each viewer writes once it is let in."""
    publish_port: int
    hello: bytes
    """What the publisher writes once, first."""
    templates: list[bytes]
    """What it writes to publish, one a ticket; PLACEHOLDER becomes a number."""

    @property
    def cpu(self) -> float:
        """CPU seconds that it and its children have used."""
        return cpu_seconds(self.process.pid)

    @property
    def memory(self) -> int:
        """Bytes that are its own, and its children's."""
        kilobytes = 0
        for pid in process_tree(self.process.pid):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Private_Dirty"):
                    kilobytes += int(line.split()[1])
        return kilobytes * 1024

    def end(self) -> None:
        """Stop it."""
        end(self.process)


def process_tree(pid: int) -> list[int]:
    """A process and all below it."""
    below = [int(child) for one in Path(f"/proc/{pid}/task").glob("*/children") for child in one.read_text().split()]
    return [pid, *(relative for child in below for relative in process_tree(child))]


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a process and all below it, by the scheduler's own nanoseconds: /proc/PID/stat has 10 ms."""
    threads = (thread for one in process_tree(pid) for thread in Path(f"/proc/{one}/task").glob("*/schedstat"))
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to go; what is still there of it after 10 s is killed, its children too."""
    if process.poll() is not None:
        return
    all_of_it = process_tree(process.pid)
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        for pid in all_of_it[1:]:
            if Path(f"/proc/{pid}").exists():
                os.kill(pid, 9)
        process.kill()
        process.wait()


def unlimited_settings(redis: Redis, port: int) -> dict[str, str]:
    """Settings of ours beside this Redis, with room for every viewer though all come from one address."""
    return server_configs.unlimited_settings(redis.port, port)


@functools.cache
def available(name: str) -> str | None:
    """None where a server can be started here, fetched first if it must be; else why it cannot."""
    try:
        SERVER_CONFIGS[name].install()
    except install.Unavailable as missing:
        return str(missing)
    return None


def version(name: str) -> str:
    """Which version of it runs here; it must be available."""
    return SERVER_CONFIGS[name].version()


def start(name: str, folder: Path, redis: Redis, *, tickets: Sequence[str] = TICKETS) -> Server:
    """Start a server by its name and wait until it listens; raises RuntimeError with its last log_path."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # for those that inherit it and do not raise it
    config = SERVER_CONFIGS[name]
    context = RunContext(folder, free_port(), free_port(), redis.port, most, tickets)
    process = launch(name, folder, config.command(context), config.environment(context), port=context.port)
    time.sleep(1.0 if name == "ours" else 0.3)  # until it has heard its own probe, or is subscribed
    return Server(
        name,
        process,
        context.port,
        config.path or path(tickets),
        config.headers,
        config.greeting,
        {"redis": redis.port, "server": context.port, "publish_port": context.publish}[config.publish_to],
        config.hello,
        [config.template(ticket) for ticket in tickets],
    )


def launch(
    name: str,
    folder: Path,
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    port: int | None,
    core: int = SERVER_CORE,
) -> subprocess.Popen[bytes]:
    """Start a program and wait until it listens, if it does; raises RuntimeError with its last log_path."""
    log_path = folder / f"{name}.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            pinned(core, *command), cwd=folder, env={**os.environ, **environment}, stdout=log, stderr=log
        )
    try:
        if port is not None:
            wait_for(port, process)
    except TimeoutError as late:
        end(process)
        last = log_path.read_text(errors="replace").strip().splitlines()[-1:]
        raise RuntimeError(f"{name} does not start: {last[0] if last else late}") from late
    return process


def wait_for(port: int, process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait until somebody listens; raises TimeoutError, at once if the process that should has ended."""
    until = time.monotonic() + 20
    while time.monotonic() < until and (process is None or process.poll() is None):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"nobody listens on port {port}")
