"""Clients that begin a request and never end it: slowhttptest's, and endless heads. Wix's webhooks go on meanwhile.

slowhttptest (a Debian package) opens its connections once, feeds each every few seconds, and ends when the server
has closed them all, or after a time.
"""

import asyncio
import csv
import re
import shutil
import time
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.rig.buyers import Buyers, buy_steadily
from tests.rig.deployment import Deployment
from tests.rig.percentile import percentile
from tests.rig.process import Run
from tests.rig.redis import Servers
from tests.rig.report import report
from tests.rig.server import until
from tests.rig.webhook_sender import webhook_sender
from tests.rig.wix import WixRig

SLOW = 500
"""Connections of slowhttptest, of each kind."""
A_SECOND = 250
"""New connections a second."""
SECONDS = 25
"""The longest duration of the attack in seconds."""
CLOSED_WITHIN = 15.0
CUT_WITHIN = 64 * 1024
GROWTH = 15 * 1024
"""KB of memory."""
WEBHOOKS = 50
"""In one second."""
KINDS = {
    "heads": ("-H", "/v1/counters", "-t", "GET"),
    "bodies": ("-B", "/webhooks/wix", "-t", "POST", "-s", "100000"),
}
"""The options of slowhttptest, and the path that it attacks."""


def resident(pid: int) -> int:
    """The KB of memory that a process has."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1])


async def attack(folder: Path, url: str, kind: str) -> float:
    """Run slowhttptest; returns the seconds until it had no connection left, however long it would have stayed."""
    program = shutil.which("slowhttptest")
    assert program, "slowhttptest is not installed: apt-get install slowhttptest"
    how, path, *more = KINDS[kind]
    folder.mkdir()
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *(program, how, "-c", str(SLOW), "-r", str(A_SECOND), "-i", "4", "-x", "32", "-l", str(SECONDS), "-p", "5"),
        *("-g", "-o", str(folder / "seen"), "-u", url + path, *more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    seconds = time.monotonic() - began
    told = list(csv.DictReader((folder / "seen.csv").read_text().splitlines()))
    # It had all of them open at once: otherwise this would be no attack.
    assert SLOW == max(int(row["Connected"]) for row in told), told
    return seconds if b"No open connections left" in said else float("inf")


async def endless_head(url: str, cuts: list[tuple[int, bytes]], pause: float) -> None:
    """Send an endless head again and again; note for each the bytes until the server answered, and the answer."""
    where = urlsplit(url)
    line = b"x-stranger: " + b"x" * 1010 + b"\r\n"
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection(where.hostname, where.port)
            said = asyncio.create_task(reader.read(100))
            sent = 0
            try:
                writer.write(b"GET /v1/counters HTTP/1.1\r\nhost: here\r\n")
                while not said.done():
                    writer.write(line)
                    sent += len(line)
                    await writer.drain()
                    await asyncio.sleep(pause)
                cuts.append((sent, said.result()))
            finally:
                writer.close()  # before anything that could be cancelled too
                said.cancel()
                await asyncio.wait({said})
        await asyncio.sleep(0.05)


async def look(pid: int, sizes: list[int]) -> None:
    """Note the memory of a process, until cancelled."""
    while True:
        sizes.append(resident(pid))
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.alone
async def test_slow_requests_do_not_delay_webhooks(
    command: Run, redis_server: Servers, wix: WixRig, tmp_path: Path, kind: str
) -> None:
    """500 slow requests and four endless heads delay no webhook, cost no memory, and are ended in time."""
    tickets = wix.sandbox.add(10, limit=100_000)
    deployment = Deployment(command, redis_server().url, wix.settings())
    url = await deployment.web()
    web = deployment.processes[-1]
    paced: list[tuple[int, bytes]] = []
    flooding: list[tuple[int, bytes]] = []
    sizes: list[int] = []
    async with webhook_sender(url, wix=wix) as sender:
        await buy_steadily([Buyers(wix, tickets)], WEBHOOKS, 3)
        await until(lambda: sender.pending == 0)
        sender.attempts.clear()
        before = resident(web.process.pid)
        attackers: list[Coroutine[None, None, None]] = [
            *(endless_head(url, paced, 0.005) for _ in range(2)),
            *(endless_head(url, flooding, 0) for _ in range(2)),
            look(web.process.pid, sizes),
        ]
        busy = [asyncio.create_task(one) for one in attackers]
        trading = asyncio.create_task(buy_steadily([Buyers(wix, tickets)], WEBHOOKS, SECONDS))
        closed = await attack(tmp_path / "slow", url, kind)
        for one in [*busy, trading]:
            one.cancel()
        await asyncio.wait([*busy, trading])
        await until(lambda: sender.pending == 0)

    statuses = Counter(one.status for one in sender.attempts)
    p99 = percentile((one.seconds for one in sender.attempts), 0.99)
    grown = max(sizes) - before
    longest = max(sent for sent, _ in paced)
    report(
        f"{SLOW} slow {kind} all closed {closed:.0f} s after the first came; {len(paced) + len(flooding)} heads cut, after at most "
        f"{longest // 1024} KB; {dict(statuses)} webhooks meanwhile, p99 {p99 * 1000:.0f} ms; memory {grown / 1024:+.1f} MB"
    )
    assert [False] * len(busy) == [one.done() and not one.cancelled() for one in busy]
    # The last one comes when the others are as old.
    assert closed <= SLOW / A_SECOND + CLOSED_WITHIN
    assert min(len(paced), len(flooding)) > 10
    assert longest <= CUT_WITHIN
    assert {b"HTTP/1.1 431"} == {said[:12] for _, said in paced}
    assert grown <= GROWTH
    assert {200} == set(statuses)
    assert p99 <= 1
    assert statuses[200] > WEBHOOKS * closed / 2
    assert "Traceback" not in deployment.log
