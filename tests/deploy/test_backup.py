"""deploy/backup: what it copies while the server works is restored, after the data was lost, to what a crash would have left."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import tarfile
import threading
from contextlib import suppress
from pathlib import Path

import redis
from redis.asyncio import Redis

from server import valkey
from tests.rig.buyers import Buyers, buy_steadily
from tests.rig.default_keys import key
from tests.rig.process import ROOT, Command, Run
from tests.rig.redis import Servers
from tests.rig.server import until
from tests.rig.wix import WixRig


def backup(data: Path, file: Path) -> "subprocess.CompletedProcess[str]":
    """Run deploy/backup."""
    return subprocess.run([ROOT / "deploy" / "backup", data, file], check=False, capture_output=True, text=True)


def restore(file: Path, data: Path) -> None:
    """Do what docs/operate.md says."""
    with tarfile.open(file) as tar:
        tar.extractall(data, filter="data")


async def stored(data: Path, site: str, ticket: str) -> dict[str, str]:
    """What the Valkey of a `serve` has of a ticket."""
    url = valkey.url_of(data)
    assert url is not None
    async with Redis.from_url(url, decode_responses=True) as client:
        return {str(name): str(value) for name, value in (await client.hgetall(key(site, "ticket", ticket))).items()}


async def number(data: Path, site: str, ticket: str) -> int | None:
    """The number of a ticket's stored counter."""
    counter = (await stored(data, site, ticket)).get("counter")
    return json.loads(counter).get("unsold") if counter else None


async def killed(server: Command, data: Path) -> None:
    """Kill the server and its Valkey, as a failure of the machine would."""
    pid = int((data / "valkey" / "lock").read_text().partition("\n")[0])
    for one in (server.process.pid, pid):
        os.kill(one, signal.SIGKILL)
    await server.ended()
    await until(lambda: not Path(f"/proc/{pid}").exists())


async def test_data_is_back_after_a_crash_and_after_its_loss(tmp_path: Path, command: Run, wix: WixRig) -> None:
    """A backup under orders, then `kill -9`: nothing is lost; then the data is lost: the backup is back, and Wix tells the rest."""
    [ticket] = wix.sandbox.add(1, limit=100_000)
    data, file = tmp_path / "data", tmp_path / "counter.tar.gz"
    given = {name.upper(): value for name, value in wix.settings().items()}
    settings = {**given, "DATA_DIR": str(data), "WATCH_EVERY": "1", "RECONCILE": "5"}
    server = command("serve", **settings)
    wix.send_to(await server.url())
    await until(lambda: number(data, wix.site, ticket))

    buying = asyncio.create_task(buy_steadily([Buyers(wix, [ticket])], 20, 600))
    await until(lambda: (wix.world.tickets[ticket].left or 0) < 99_990)
    copied = await asyncio.to_thread(backup, data / "valkey", file)
    buying.cancel()
    await asyncio.wait({buying})
    assert 0 == copied.returncode, copied.stderr
    saved_at_least = wix.world.tickets[ticket].left
    assert saved_at_least is not None

    async def is_true() -> bool:
        return await number(data, wix.site, ticket) == wix.world.tickets[ticket].left

    await until(is_true)
    before = await stored(data, wix.site, ticket)
    await killed(server, data)

    # Without Wix: what is there now is what was stored.
    server = command("serve", **{**settings, "WIX_API_URL": "http://127.0.0.1:9"})
    await server.url()
    assert before["v"] == (await stored(data, wix.site, ticket))["v"]
    await killed(server, data)

    shutil.rmtree(data)
    (data / "valkey").mkdir(parents=True)
    restore(file, data / "valkey")
    server = command("serve", **{**settings, "WIX_API_URL": "http://127.0.0.1:9"})
    await server.url()
    restored = await number(data, wix.site, ticket)
    assert restored is not None
    assert restored >= saved_at_least
    await server.stop()

    server = command("serve", **settings)
    wix.send_to(await server.url())
    await until(is_true)
    assert int(before["v"]) < int((await stored(data, wix.site, ticket))["v"])


def test_a_rewrite_does_not_spoil_a_backup(tmp_path: Path, redis_server: Servers) -> None:
    """While writes go on and the append-only file is rewritten again and again, each copy is one that the server loads."""
    server, file = redis_server(), tmp_path / "backup.tar.gz"
    server.ask("SET", "first", "x" * 1000)
    over = threading.Event()

    def write() -> None:
        with redis.Redis(port=server.port) as client:
            while not over.is_set():
                client.incr("written")

    writing = threading.Thread(target=write)
    writing.start()
    least = 0
    try:
        for _ in range(3):
            with suppress(redis.ResponseError):  # one is in progress
                server.ask("BGREWRITEAOF")
            least = int(server.ask("GET", "written") or 0)
            assert 0 == backup(server.folder, file).returncode
    finally:
        over.set()
        writing.join()
    copy = redis_server()
    copy.kill()
    shutil.rmtree(copy.folder / "appendonlydir")
    restore(file, copy.folder)
    copy.start()

    assert "x" * 1000 == copy.ask("GET", "first")
    assert int(copy.ask("GET", "written")) >= least > 0


def test_an_incomplete_copy_is_no_backup(tmp_path: Path, redis_server: Servers) -> None:
    """Where a file of the list cannot be copied, there is an error that names it, and no backup."""
    server, file = redis_server(), tmp_path / "backup.tar.gz"
    server.kill()
    [increment] = (server.folder / "appendonlydir").glob("*.incr.aof")
    increment.unlink()
    found = backup(server.folder, file)

    assert 1 == found.returncode
    assert f"{increment.name} could not be copied" in found.stderr
    assert not file.exists()


def test_no_data_is_told(tmp_path: Path) -> None:
    """A folder without an append-only file is an error that says what may be wrong, and leaves no file."""
    found = backup(tmp_path, tmp_path / "backup.tar.gz")

    assert 1 == found.returncode
    assert "is it the folder of the data, and is appendonly on?" in found.stderr
    assert [] == list(tmp_path.iterdir())
