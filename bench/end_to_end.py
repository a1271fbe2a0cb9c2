"""The latency from a webhook to the last of many viewers, compared with the loop in C, which only sends.

In: a folder and the number of viewers. Out: the figures of one round, in milliseconds. The web process has one core;
worker, Redis, the local Wix and the viewers share the other. This process posts the webhook of each purchase, so that
its time is known. Redis's MONITOR gives the time of each script on the same machine's clock.
"""

import http.client
import json
import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from bench import servers
from bench.scenarios import PUBLISH_GAP, Figure, ScenarioFailed, Setup, running
from bench.servers import Redis, end, free_port, launch
from bench.viewers import SERVER_CORE, VIEWER_CORE, Viewers
from server.store import scripts

PURCHASES, INTERVAL = 11, 3.3
"""Number of purchases, and seconds between two: none coincides with the repeated reads 2, 8 and 30 s after a hint."""
TIMEOUT = 20.0

FIGURES = {
    "whole": Figure("ms from the webhook to the last viewer, without Wix's response time", less_is_better=True),
    "sends": Figure("ms from the first viewer to the last", less_is_better=True),
    "heard": Figure("ms from the webhook to the mark in Redis", less_is_better=True),
    "claimed": Figure("ms from the mark to the claim", less_is_better=True),
    "read": Figure("ms from the claim to the keep, without Wix's response time", less_is_better=True),
    "told": Figure("ms from the keep to the first viewer", less_is_better=True),
    "wix": Figure("Wix's response time in ms, rounded down", less_is_better=True),
}


def end_to_end(name: str, setup: Setup) -> dict[str, float]:
    """The latency of a purchase and its parts; for the loop in C, only the latency of its sends."""
    if name == "limit":
        return _limit(setup)
    with ExitStack() as stack:
        redis = Redis.start(setup.folder)
        stack.callback(redis.end)
        wix = stack.enter_context(_wix(setup.folder))
        web = stack.enter_context(_process("web", SERVER_CORE, wix, redis, setup.folder))
        stack.enter_context(_process("worker", VIEWER_CORE, wix, redis, setup.folder))
        viewers = Viewers(setup.folder)
        stack.callback(viewers.end)
        opened = viewers.connect(web, [servers.path([wix.ticket])], setup.sockets)
        if opened["open"] != setup.sockets:
            raise ScenarioFailed(f"{opened['open']} of {setup.sockets} viewers were accepted")
        watched = stack.enter_context(_monitor(redis.port))
        time.sleep(INTERVAL)
        found = []
        for _ in range(PURCHASES):
            found.append(_purchase(wix, web, viewers, setup.sockets, watched))
            time.sleep(INTERVAL)
    return {figure: statistics.median(one[figure] for one in found) for figure in found[0]}


def _limit(setup: Setup) -> dict[str, float]:
    with running("limit", setup) as (server, viewers):
        viewers.connect(server.port, [server.path], setup.sockets)
        viewers.trigger(server.publish_port, server.templates, setup.sockets)
        viewers.run(8, 1)
        # With pauses between publishes, as in a shop.
        run = viewers.run(4 * PURCHASES, 1, gap=10 * PUBLISH_GAP)
        return {"whole": run["whole_p50_ms"]}


class Wix:
    """The running local Wix: its address, its ticket, and the settings of a server that uses it."""

    def __init__(self, folder: Path, address: str) -> None:
        self.settings = {name: value or "" for name, value in dotenv_values(folder / ".env").items()}
        self.ticket: str = json.loads((folder / "sandbox.json").read_text())["tickets"]["fixed"]
        self._address = address

    def ask(self, method: str, path: str) -> Any:
        """Call its control API."""
        connection = http.client.HTTPConnection(self._address)
        connection.request(method, f"/sandbox{path}", "{}", {"Content-Type": "application/json"})
        return json.loads(connection.getresponse().read())


@contextmanager
def _wix(folder: Path) -> Iterator[Wix]:
    state = folder / f"wix-{free_port()}"
    port = free_port()
    command = [sys.executable, "-m", "sandbox", "--port", str(port), "--state", str(state)]
    process = launch("sandbox", folder, command, {"PYTHONPATH": str(servers.ROOT)}, port=port, core=VIEWER_CORE)
    try:
        address = f"127.0.0.1:{port}"
        first = http.client.HTTPConnection(address)
        first.request("GET", "/")
        first.getresponse()  # when it answers, its state is written; it listens before that
        yield Wix(state, address)
    finally:
        end(process)


@contextmanager
def _process(part: str, core: int, wix: Wix, redis: Redis, folder: Path) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "server.cli", part]
    listens = port if part == "web" else None
    process = launch(
        part, folder, command, {**wix.settings, **servers.unlimited_settings(redis, port)}, port=listens, core=core
    )
    try:
        yield port
    finally:
        end(process)


@contextmanager
def _monitor(port: int) -> Iterator[dict[str, float]]:
    """The time of each script's last run in MONITOR, by name, on time.monotonic()'s clock."""
    names = {script.sha: script.name for script in (scripts.MARK, scripts.CLAIM, scripts.KEEP)}
    seen: dict[str, float] = {}
    offset = time.time() - time.monotonic()

    def read(connection: socket.socket) -> None:
        for line in connection.makefile("r", errors="replace"):
            words = line.split(" ", 5)
            name = names.get(words[4].strip('"')) if len(words) > 5 and words[3] == '"EVALSHA"' else None
            # The last claim before the keep counts: idle workers claim again and again.
            if name and not (name == "claim" and "keep" in seen):
                seen[name] = float(words[0].removeprefix("+")) - offset

    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"MONITOR\r\n")
        reading = threading.Thread(target=read, args=(connection,), daemon=True)
        reading.start()
        yield seen
        connection.shutdown(socket.SHUT_RDWR)
        reading.join()


def _purchase(wix: Wix, web: int, viewers: Viewers, sockets: int, seen: dict[str, float]) -> dict[str, float]:
    last = wix.ask("GET", "/webhooks")["webhooks"]
    calls = wix.ask("GET", "/calls")["calls"]
    wix.ask("POST", f"/tickets/{wix.ticket}/buy")
    new = wix.ask("GET", f"/webhooks?since={last[-1]['n'] if last else 0}")["webhooks"]
    [order] = [webhook["jwt"] for webhook in new if webhook["type"].endswith("OrderConfirmed")]
    connection = http.client.HTTPConnection("127.0.0.1", web)
    connection.connect()
    seen.clear()
    viewers.mark()
    began = time.monotonic()
    connection.request("POST", "/webhooks/wix", order, {"Content-Type": "text/plain"})
    status = connection.getresponse().status
    first, last_at = viewers.await_(sockets, TIMEOUT)
    if status != http.client.OK:
        raise ScenarioFailed(f"the webhook was answered with {status}")
    keep = seen["keep"]
    since = wix.ask("GET", f"/calls?since={calls[-1]['n']}")["calls"]
    took = next(call["ms"] for call in since if call["kind"] != "token") / 1000
    return {
        "whole": 1000 * (last_at - began - took),
        "heard": 1000 * (seen["mark"] - began),
        "claimed": 1000 * (seen["claim"] - seen["mark"]),
        "read": 1000 * (keep - seen["claim"] - took),
        "told": 1000 * (first - keep),
        "sends": 1000 * (last_at - first),
        "wix": 1000 * took,
    }
