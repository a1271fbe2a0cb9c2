"""
Real Redis servers for tests: the Valkey binary that `serve` embeds, with redis.conf, on free ports of 127.0.0.1.

    redis_url       one server for the whole run, emptied before each test that asks for it
    redis_server    a factory of servers of one test, to kill, freeze and restart
    redis_shared    the server of `redis_url`, to inspect: do not kill it or change its configuration

All functions here block: a start takes some 80 ms, but `start(wait=False)` returns at once.
Start servers in the main thread: they end with the thread that started them, so that a killed test run leaves none.
"""

import random
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from server import valkey
from server.child import tied_to_parent
from tests.rig.key_table import unlisted

SERVERS = ["valkey", *(["redis-server"] if shutil.which("redis-server") else [])]
"""What `redis_server(binary=...)` can start here: the embedded Valkey, and Redis if it is installed."""


class RedisServer:
    """
    One server process; *config* are lines of redis.conf, with `_` for `-`.

    The port and the folder stay the same over restarts, so clients reconnect and data survive.
    """

    def __init__(self, folder: Path, binary: str = "valkey", **config: str) -> None:
        self.binary = str(valkey.binary()) if binary == "valkey" else shutil.which(binary) or binary
        self.folder = folder
        self.config = config
        self.conf = valkey.CONF
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
        """All that the server has logged, over all its starts."""
        return (self.folder / "log").read_text()

    def start(self, *, wait: bool = True) -> None:
        """Start the process and *wait* until it answers; raise RuntimeError with the end of its log if it does not."""
        assert self._process is None, "the server is already running"
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = [f"--{key.replace('_', '-')} {value or chr(34) * 2}" for key, value in self.config.items()]
        command = [self.binary, str(self.conf), "--port", str(self.port), "--dir", str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                tied_to_parent([*command, *shlex.split(" ".join(lines))]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        if wait:
            self.ready()

    def ready(self) -> None:
        """Wait until the server answers; raise RuntimeError with the end of its log if it ended or takes 10 seconds."""
        until(self._answers, lambda: f"{self.binary} does not answer:\n{self.log[-1000:]}")

    def kill(self) -> None:
        """Kill it (SIGKILL), as a crash would; does nothing if it is not running."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Shut it down (SIGTERM); does nothing if it is not running."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Kill and start again: same port, same folder."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Suspend the process (SIGSTOP): connections stay open and nothing is answered, until `thaw`."""
        assert self._process is not None, "the server is not running"
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume a suspended process (SIGCONT)."""
        assert self._process is not None, "the server is not running"
        self._process.send_signal(signal.SIGCONT)

    def ask(self, *words: str | float) -> Any:
        """Send one command over a new connection and return redis-py's reply, as text."""
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
        self._process.send_signal(signal.SIGCONT)  # a suspended process handles SIGTERM only when it is resumed
        self._process.wait(10)
        self._process = None


def free_port() -> int:
    """
    Return a port that is free, as is the one 10,000 above it (a cluster node's second).

    Both are below 32768: ports above are given to outgoing connections by the kernel, so that a server that is down for
    a second could find its port taken.
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
    """Check every 10 ms whether it *holds*; raise RuntimeError with the *complaint* after so many *seconds*."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(complaint())
        time.sleep(0.01)


Servers = Callable[..., RedisServer]
"""The type of the fixture `redis_server`."""


@pytest.fixture(scope="session")
def redis_shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The server of `redis_url`."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def redis_url(redis_shared: RedisServer) -> Iterator[str]:
    """The address of an empty database; what a test leaves in it must be in the table of server/store/__init__.py."""
    redis_shared.ask("FLUSHALL")
    yield redis_shared.url
    assert [] == unlisted(redis_shared.port)


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """
    Start servers for one test: `redis_server(binary="valkey", **config)` returns a running RedisServer.

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
