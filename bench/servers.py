"""Starts and stops servers, each on one core, and measures their CPU seconds and private memory.

In: one of NAMES. Out: a running Server, with all that viewers and publishers need to connect. bench/install.py
installs peers; bench/server_configs.py has their commands.
"""

import functools
import os
import resource
import socket
import subprocess
import tempfile
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
    """The ids of so many tickets."""
    return tuple(f"11111111-aaaa-4aaa-8aaa-{one:012}" for one in range(number))


def path(tickets: Sequence[str]) -> str:
    """The request path for a viewer of these tickets."""
    return "/v1/counters?" + "&".join(f"ticket={ticket}" for ticket in tickets)


TICKETS = ticket_ids(8)
PATH = path(TICKETS)


def free_port() -> int:
    """A free port of 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as tried:
        return int(tried.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Redis:
    """The Redis of a run, on the viewers' core, since it is not measured."""

    process: subprocess.Popen[bytes]
    port: int

    @classmethod
    def start(cls, folder: Path) -> "Redis":
        """Start an empty Redis."""
        port = free_port()
        # A port may be free again, and its folder still there.
        data = Path(tempfile.mkdtemp(prefix=f"redis-{port}-", dir=folder))
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
        """Stop it without saving data."""
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, and how viewers and publishers connect to it."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    path: str
    headers: str
    """Additional header lines of a viewer's request."""
    greeting: bytes
    """What each viewer sends after its handshake."""
    publish_port: int
    hello: bytes
    """What the publisher sends first, once."""
    templates: list[bytes]
    """What the publisher sends for each publish, one template per ticket; PLACEHOLDER becomes a number."""

    @property
    def cpu(self) -> float:
        """CPU seconds used by the process and its children."""
        return cpu_seconds(self.process.pid)

    @property
    def memory(self) -> int:
        """Private memory of the process and its children, in bytes."""
        return private_memory(self.process.pid)

    def end(self) -> None:
        """Stop it."""
        end(self.process)


def process_tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    below = [int(child) for one in Path(f"/proc/{pid}/task").glob("*/children") for child in one.read_text().split()]
    return [pid, *(relative for child in below for relative in process_tree(child))]


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a process tree, from the scheduler's nanoseconds: /proc/PID/stat counts in steps of 10 ms."""
    threads = (thread for one in process_tree(pid) for thread in Path(f"/proc/{one}/task").glob("*/schedstat"))
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def private_memory(pid: int) -> int:
    """Private memory of a process tree, in bytes."""
    lines = (line for one in process_tree(pid) for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines())
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))


def end(process: subprocess.Popen[bytes]) -> None:
    """Terminate a process; after 10 s, kill it and its children."""
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
    """Settings of ticket-counter with this Redis, without limits that viewers from one address would reach."""
    return server_configs.unlimited_settings(redis.port, port)


@functools.cache
def available(name: str) -> str | None:
    """None if a server can be started here (it is installed first if necessary); otherwise the reason."""
    try:
        SERVER_CONFIGS[name].install()
    except install.Unavailable as missing:
        return str(missing)
    return None


def version(name: str) -> str:
    """The version of an available server."""
    return SERVER_CONFIGS[name].version()


def start(name: str, folder: Path, redis: Redis, *, tickets: Sequence[str] = TICKETS) -> Server:
    """Start a server and wait until it listens; raises RuntimeError with the last line of its log."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # for servers that do not raise it themselves
    config = SERVER_CONFIGS[name]
    context = RunContext(folder, free_port(), free_port(), redis.port, most, tickets)
    process = launch(name, folder, config.command(context), config.environment(context), port=context.port)
    time.sleep(1.0 if name == "ours" else 0.3)  # until it has received its probe, or is subscribed
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
    """Start a program and wait until it listens on *port*, if any; raises RuntimeError with its log's last line."""
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
    """Wait until a process listens; raises TimeoutError, immediately if *process* has ended."""
    until = time.monotonic() + 20
    while time.monotonic() < until and (process is None or process.poll() is None):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"no process listens on port {port}")
