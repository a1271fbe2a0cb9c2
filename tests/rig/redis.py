"""
Real Redis for tests: the Valkey binary that `serve` embeds, with this repo's redis.conf, on free ports of 127.0.0.1.

    redis_url       one server for the whole run, emptied before each test that asks for it
    redis_server    a factory of servers of a test's own, to kill, freeze, starve and restart
    cluster_url     three masters for the whole run, emptied before each test that asks for it
    redis_shared    the servers behind the two URLs, for a look inside: do not kill these
    cluster         (or change their configuration)

Everything here blocks: a start takes some 80 ms. A test that must not stand still meanwhile says `start(wait=False)`.
Start servers in the main thread: so that a killed test run leaves none behind, they end with the thread they came from.
"""

import random
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from server import valkey

SERVERS = ["valkey", *(["redis-server"] if shutil.which("redis-server") else [])]
"""What `redis_server(binary=...)` can start here: the embedded Valkey, and the machine's own Redis if it has one."""

SLOTS = 16384


class RedisServer:
    """
    A server process of a test's own; *config* are lines of redis.conf, with `_` for `-`.

    The port and the folder stay the same over restarts, so clients come back and data survive as they would outside.
    """

    def __init__(self, folder: Path, binary: str = "valkey", **config: str) -> None:
        self.binary = str(valkey.binary()) if binary == "valkey" else shutil.which(binary) or binary
        self.folder = folder
        self.config = config
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; the server must be running."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    @property
    def log(self) -> str:
        """Everything the server has printed, over all its starts."""
        return (self.folder / "log").read_text()

    def start(self, *, wait: bool = True) -> None:
        """Start the process and *wait* until it answers; raise RuntimeError with its last lines if it will not."""
        assert self._process is None, "the server is already running"
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = [f"--{key.replace('_', '-')} {value or chr(34) * 2}" for key, value in self.config.items()]
        command = [self.binary, str(valkey.CONF), "--port", str(self.port), "--dir", str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                valkey.leashed([*command, *shlex.split(" ".join(lines))]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        if wait:
            self.ready()

    def ready(self) -> None:
        """Wait until the server answers; raise RuntimeError with its last lines if it ended or takes 10 seconds."""
        until(self._answers, lambda: f"{self.binary} does not answer:\n{self.log[-1000:]}")

    def kill(self) -> None:
        """End it at once (kill -9), as a crash would; nothing if it is not running."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order (SIGTERM), as an administrator would; nothing if it is not running."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Kill and start again: same port, same folder."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Stop the process in its tracks: connections stay open and nobody answers, until `thaw`."""
        assert self._process is not None, "the server is not running"
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        assert self._process is not None, "the server is not running"
        self._process.send_signal(signal.SIGCONT)

    def ask(self, *words: str | float) -> Any:
        """Send one command over a connection of its own and return redis-py's answer, as text."""
        with redis.Redis(
            port=self.port,
            socket_timeout=2,
            socket_connect_timeout=2,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        ) as client:
            return client.execute_command(*words)

    def _answers(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"{self.binary} ended at start:\n{self.log[-1000:]}")
        try:
            return bool(self.ask("PING"))
        except (redis.ConnectionError, redis.TimeoutError):
            return False

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        self._process.send_signal(signal.SIGCONT)  # a frozen one would hear of SIGTERM only when it thaws
        self._process.wait(10)
        self._process = None


class Cluster:
    """Masters with equal shares of the slots, formed by the commands that `redis-cli --cluster create` would send."""

    def __init__(self, masters: list[RedisServer]) -> None:
        self.masters = masters
        self.url = f"redis+cluster://127.0.0.1:{masters[0].port}"

    def form(self) -> None:
        """Join the started, empty servers; return when each says that the whole cluster is well."""
        share = SLOTS // len(self.masters) + 1
        for number, master in enumerate(self.masters):
            master.ask("CLUSTER", "ADDSLOTSRANGE", share * number, min(share * (number + 1), SLOTS) - 1)
            # Different epochs from the start, or the masters spend seconds on quarrelling about them. One that has taken
            # an epoch by itself meanwhile says so, and will quarrel.
            with suppress(redis.ResponseError):
                master.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for master in self.masters[1:]:
            self.masters[0].ask("CLUSTER", "MEET", "127.0.0.1", master.port)
        until(self.well, lambda: f"no cluster:\n{[master.ask('CLUSTER', 'INFO') for master in self.masters]}")

    def well(self) -> bool:
        """Tell whether every master knows every other and that all slots are served."""
        for master in self.masters:
            state = master.ask("CLUSTER", "INFO")
            if not {"cluster_state:ok", f"cluster_size:{len(self.masters)}"} <= set(state.split()):
                return False
        return True

    def flush(self) -> None:
        """Empty all masters."""
        for master in self.masters:
            master.ask("FLUSHALL")


def free_port() -> int:
    """
    Return a port that nobody listens on, nor on the one 10,000 above it (a cluster node's second).

    Both lie below 32768: above it the kernel hands ports to outgoing connections, so that a server which is down for a
    second could find its own taken.
    """
    for _ in range(1000):
        port = random.randrange(10_000, 22_000)
        with ExitStack() as sockets:
            try:
                for number in (port, port + 10_000):
                    taken = sockets.enter_context(socket.socket())
                    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    taken.bind(("127.0.0.1", number))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port between 10000 and 22000")


def until(holds: Callable[[], bool], complaint: Callable[[], str], seconds: float = 10) -> None:
    """Look every 10 ms whether it *holds*; raise RuntimeError with the *complaint* if not within *seconds*."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(complaint())
        time.sleep(0.01)


@pytest.fixture(scope="session")
def redis_shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The one server behind `redis_url`."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def redis_url(redis_shared: RedisServer) -> str:
    """The address of an empty database."""
    redis_shared.ask("FLUSHALL")
    return redis_shared.url


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """
    Start servers of the test's own: `redis_server(binary="valkey", **config)` returns a running RedisServer.

    For example `redis_server(appendonly="no")`, `redis_server(maxmemory="2mb")`, `redis_server("redis-server")`.
    """
    servers: list[RedisServer] = []

    def start(binary: str = "valkey", **config: str) -> RedisServer:
        server = RedisServer(tmp_path / f"redis-{len(servers)}", binary, **config)
        servers.append(server)
        server.start()
        return server

    try:
        yield start
    finally:
        for server in servers:
            server.kill()


@contextmanager
def three_masters(folder: Path, node_timeout_ms: int) -> Iterator[Cluster]:
    """A cluster that is well, as long as the block."""
    config = {"cluster_enabled": "yes", "cluster_node_timeout": str(node_timeout_ms)}
    cluster = Cluster([RedisServer(folder / str(number), **config) for number in range(3)])
    try:
        for master in cluster.masters:
            master.start()
        cluster.form()
        yield cluster
    finally:
        for master in cluster.masters:
            master.kill()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The one cluster behind `cluster_url`."""
    with three_masters(tmp_path_factory.mktemp("cluster"), 2000) as cluster:
        yield cluster


@pytest.fixture
def cluster_url(cluster: Cluster) -> str:
    """The address of an empty cluster."""
    cluster.flush()
    return cluster.url
