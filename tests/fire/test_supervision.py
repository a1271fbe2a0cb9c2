"""Processes that end are started again and continue; suspended ones are not trusted, and continue as well."""

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from server.store.timing import Timing
from tests.rig.background import background
from tests.rig.buyers import Buyers, buy_steadily
from tests.rig.default_keys import channel, key
from tests.rig.deployment import Deployment
from tests.rig.measured_visitors import expected_counters, measured_visitors
from tests.rig.process import SETTINGS, Command, Run
from tests.rig.recording_viewers import polling_viewer, sse_viewer, websocket_viewer
from tests.rig.redis import Servers, free_port
from tests.rig.report import report
from tests.rig.server import until
from tests.rig.supervised_process import SupervisedProcess
from tests.rig.wix import WixRig

VIEWERS = 200
MANY = {"MAX_CONNECTIONS": "1000", "MAX_CONNECTIONS_PER_ADDRESS": "1000"}
RIGHT_WITHIN = 10.0
"""Seconds in which viewers of a process that continues are right, or claim nothing."""
AGAIN = 60.0
"""Seconds in which all is right again after repeated restarts: pages wait for half a minute at most."""


@asynccontextmanager
async def supervised(*parts: SupervisedProcess) -> AsyncIterator[None]:
    """Run these, and restart each that ends, until the block ends."""
    for part in parts:
        part.start()
    try:
        async with background(*(part.supervise() for part in parts)):
            yield
    finally:
        for part in parts:
            part.kill()


def ended(part: SupervisedProcess) -> list[int]:
    """The statuses with which it ended by itself."""
    return [one.status for one in part.endings if not one.asked]


# -- wrong data in Redis --

BOTH, WORKER = {"web", "worker"}, {"worker"}
RUINS = {
    "sites": ("tc:sites", BOTH),
    "site": ("site", BOTH),
    "due": ("due", BOTH),
    "watched": ("watched", BOTH),
    "ticket": ("ticket:{ticket}", BOTH),
    "hinted": ("hinted", WORKER),
    "reads": ("reads", WORKER),
    "history": ("history", WORKER),
}
"""Keys that are used by each task that sends Redis more than a publish, and the processes of that task."""


@pytest.mark.parametrize("ruin", RUINS)
async def test_wrong_redis_key_type_ends_the_process(
    command: Run, redis_server: Servers, wix: WixRig, tmp_path: Path, ruin: str
) -> None:
    """Law 10: A task that finds a key of the wrong type ends its process with a log line; after repair nothing is lost."""
    redis = redis_server()
    ticket, unwatched = wix.tickets["fixed"], wix.tickets["free"]
    name, whose = RUINS[ruin]
    wrong = name if name.startswith("tc:") else key(wix.site, *name.format(ticket=ticket).split(":"))
    deployment = Deployment(command, redis.url, wix.settings(), WATCH_EVERY="1", **MANY)
    port = free_port()
    settings = {**SETTINGS, **deployment.settings, "PORT": str(port)}
    parts = [SupervisedProcess(one, tmp_path / "parts", one, settings) for one in ("web", "worker")]
    wix.knobs.turn(resend_scale=0.02)
    async with supervised(*parts), measured_visitors(port, [ticket]) as visitors:
        await until(lambda: "listening" in parts[0].lives[0].err, 20)
        wix.send_to(f"http://127.0.0.1:{port}")
        await visitors.add(20)

        redis.ask("DEL", wrong)
        redis.ask("SET", wrong, "wrong")
        wix.world.buy(ticket)
        wix.world.buy(unwatched)
        await until(lambda: all(ended(part) for part in parts if part.name in whose), 20)
        wix.world.buy(ticket)
        wix.world.buy(unwatched)
        lines = [re.findall(r"part_ended .*error='(\w+) .* part=(\w+)", part.lives[0].err) for part in parts]

        redis.ask("DEL", wrong)
        mended = time.monotonic()
        await until(lambda: visitors.wrong(wix) == 0, AGAIN)
        seen = time.monotonic() - mended
        await until(lambda: deployment.right(wix, [ticket, unwatched]), AGAIN)
        known = time.monotonic() - mended
        statuses = [ended(part) for part in parts]

    report(
        f"{ruin}: ended {len(statuses[0])} times web, {len(statuses[1])} times worker; "
        f"mended, viewers right after {seen:.1f} s, every ticket after {known:.1f} s"
    )
    for part, told, status in zip(parts, lines, statuses, strict=True):
        assert ([("WRONGTYPE", part.name)] if part.name in whose else []) == told
        assert {1} >= set(status)


@pytest.mark.parametrize("text", ["", "garbage", "{}", '{"v":9999999999999999999,"ticket":0}', '{"v":1,"unsold":7}'])
async def test_invalid_publish_harms_no_process(command: Run, redis_server: Servers, wix: WixRig, text: str) -> None:
    """An invalid message on a counter channel harms no process, and viewers have the true number again soon."""
    redis = redis_server()
    ticket = wix.tickets["fixed"]
    deployment = Deployment(command, redis.url, wix.settings(), WATCH_EVERY="1", **MANY)
    deployment.worker()
    url = await deployment.web()
    async with websocket_viewer(url, wix.site, [ticket]) as viewer:
        await until(lambda: viewer.unsold(ticket) == 120, 20)
        viewer.last.clear()
        redis.ask("PUBLISH", channel(wix.site, ticket), text)
        redis.ask("PUBLISH", "tc:wake", text)
        wix.world.buy(ticket)
        await until(lambda: viewer.unsold(ticket) == 119, 30)
        async with sse_viewer(url, wix.site, [ticket]) as newcomer:
            await until(lambda: newcomer.unsold(ticket) == 119)

    assert [None, None] == [one.process.poll() for one in deployment.processes]
    assert "Traceback" not in deployment.log


# -- processes that end --


async def test_serve_ends_with_its_valkey(wix: WixRig, tmp_path: Path) -> None:
    """Law 10: `serve` ends with its Valkey and logs it; restarted on the same data, its viewers are back and right."""
    port = free_port()
    given = {name.upper(): value for name, value in wix.settings().items()}
    data = tmp_path / "data"
    serve = SupervisedProcess(
        "serve", tmp_path / "parts", "serve", {**SETTINGS, **given, **MANY, "PORT": str(port), "DATA_DIR": str(data)}
    )
    ticket = wix.tickets["fixed"]
    wix.knobs.turn(resend_scale=0.02)
    async with supervised(serve), measured_visitors(port, [ticket]) as visitors:
        await until(lambda: "listening" in serve.lives[0].err, 20)
        wix.send_to(f"http://127.0.0.1:{port}")
        await visitors.add(VIEWERS)
        killed = time.monotonic()
        os.kill(int((data / "valkey" / "lock").read_text().split()[0]), signal.SIGKILL)
        wix.world.buy(ticket)
        await until(lambda: ended(serve), 20)
        over = time.monotonic() - killed
        wix.world.buy(ticket)
        await until(lambda: visitors.connected == VIEWERS and visitors.wrong(wix) == 0, AGAIN)
        right = time.monotonic() - killed

    codes = {end.code for _, end in visitors.ends(killed) if end.got_frames}
    report(
        f"{VIEWERS} viewers: serve ended {over:.1f} s after its Valkey was killed, all right again after {right:.1f} s"
    )
    assert {1012} == codes
    assert [1] == ended(serve)
    assert re.search(r"part_ended .*the embedded Valkey server has ended \(killed by SIGKILL\)", serve.lives[0].err)


async def test_killed_web_child_affects_only_its_own_viewers(command: Run, redis_server: Servers, wix: WixRig) -> None:
    """Under load one of several web processes is killed: viewers of the other notice nothing, and all are right soon."""
    tickets = wix.sandbox.add(5, limit=10_000)
    deployment = Deployment(command, redis_server().url, wix.settings(), **MANY)
    deployment.worker()
    url = await deployment.web(WEB_PROCESSES="2")
    supervisor = deployment.processes[-1]
    wix.send_to(url)
    async with measured_visitors(urlsplit(url).port or 0, tickets) as visitors:
        await visitors.add(VIEWERS)
        trading = asyncio.create_task(buy_steadily([Buyers(wix, tickets)], 20, 8))
        members = children(supervisor)
        killed = time.monotonic()
        os.kill(members[0], signal.SIGKILL)
        await until(lambda: any(visitors.ends(killed)))
        lost = {id(page) for page, end in visitors.ends(killed) if end.got_frames}
        await until(lambda: visitors.connected == VIEWERS, 20)
        back = time.monotonic() - killed
        await trading
        await until(lambda: visitors.wrong(wix) == 0, 10)
        later = {id(page) for page, end in visitors.ends(killed) if end.got_frames}
        await until(lambda: len(children(supervisor)) == len(members))

    report(f"{len(later)} of {VIEWERS} viewers lost their member, and were back after {back:.1f} s")
    assert 0 < len(lost) <= len(later) < VIEWERS
    assert members[0] not in children(supervisor)
    assert members[1] in children(supervisor)
    assert "ended='killed by SIGKILL'" in supervisor.err


def children(process: Command) -> list[int]:
    """The pids of a process's children, the oldest first."""
    pid = process.process.pid
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


# -- suspended processes --


@pytest.mark.parametrize("max_stale", [6, 90])
async def test_suspended_web_shows_no_false_number(
    command: Run, redis_server: Servers, wix: WixRig, max_stale: int
) -> None:
    """A web that was suspended for 20 s shows true numbers within 10 s, or none; its viewers stay connected to it."""
    tickets = wix.sandbox.add(5, limit=10_000)
    deployment = Deployment(
        command, redis_server().url, wix.settings(), WATCH_EVERY="2", MAX_STALE=str(max_stale), **MANY
    )
    deployment.worker()
    wix.send_to(await deployment.web())
    url = await deployment.web()
    frozen = deployment.processes[-1].process
    async with measured_visitors(urlsplit(url).port or 0, tickets) as visitors:
        await visitors.add(VIEWERS)
        frozen.send_signal(signal.SIGSTOP)
        sold = await buy_steadily([Buyers(wix, tickets)], 20, 20)
        await until(lambda: deployment.right(wix, tickets))
        stood = visitors.showing_false(wix)

        thawed = time.monotonic()
        frozen.send_signal(signal.SIGCONT)
        await until(lambda: visitors.showing_false(wix) == 0, RIGHT_WITHIN)
        honest = time.monotonic() - thawed
        await until(lambda: visitors.wrong(wix) == 0, RIGHT_WITHIN)
        right = time.monotonic() - thawed
        left = list(visitors.ends(thawed))

    report(
        f"MAX_STALE={max_stale}: {sold} orders while it stood still for 20 s; {VIEWERS} viewers right or withdrawn "
        f"{honest:.1f} s after it went on, right after {right:.1f} s"
    )
    assert VIEWERS == stood
    assert [] == left


MAX_STALE = 6


async def test_suspended_worker_withdraws_numbers(command: Run, redis_server: Servers, wix: WixRig) -> None:
    """Law 8: While the only worker is suspended no viewer sees a number after MAX_STALE + 10 s; then all heals."""
    ticket = wix.tickets["fixed"]
    deployment = Deployment(
        command, redis_server().url, wix.settings(), WATCH_EVERY="1", MAX_STALE=str(MAX_STALE), **MANY
    )
    worker = deployment.worker().process
    url = await deployment.web()
    wix.send_to(url)
    async with measured_visitors(urlsplit(url).port or 0, [ticket]) as visitors:
        await visitors.add(VIEWERS)
        worker.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        wix.world.buy(ticket)
        await until(lambda: visitors.showing_false(wix) == 0, MAX_STALE + 10)
        withdrawn = time.monotonic() - began
        newcomers = []
        for kind in (websocket_viewer, sse_viewer, polling_viewer):
            async with kind(url, wix.site, [ticket]) as viewer:
                newcomers.append(await until(lambda viewer=viewer: viewer.state(ticket)))  # type: ignore[misc]
        # Longer than a lease: what it had claimed belongs to another by then.
        await until(lambda: time.monotonic() - began > Timing().lease + 2, 60)
        still = visitors.showing_false(wix)

        thawed = time.monotonic()
        worker.send_signal(signal.SIGCONT)
        await until(lambda: visitors.wrong(wix) == 0, 20)
        back = time.monotonic() - thawed

    report(
        f"withdrawn from {VIEWERS} viewers {withdrawn:.1f} s after the worker stood still, back {back:.1f} s after it went on"
    )
    assert withdrawn >= 1
    assert ["unknown"] * 3 == newcomers
    assert 0 == still
    assert "Traceback" not in deployment.log


async def test_other_worker_reads_claims_of_a_suspended_one(command: Run, redis_server: Servers, wix: WixRig) -> None:
    """Tickets claimed by a suspended worker are read by the other after the lease; the late answer is refused as older."""
    held, *others = wix.sandbox.add(20, limit=10_000)
    # Only webhooks make a ticket due.
    settings = {"WATCH_EVERY": "600", "MAX_STALE": "1200", "RECONCILE": "86400"}
    deployment = Deployment(command, redis_server().url, wix.settings(), **settings, **MANY)
    first, second = (deployment.worker().process for _ in range(2))
    url = await deployment.web()
    wix.send_to(url)
    lease = Timing().lease
    async with measured_visitors(urlsplit(url).port or 0, [held, *others]) as visitors:
        await visitors.add(VIEWERS)
        await until(lambda: visitors.wrong(wix) == 0)
        for one in (first, second):
            one.send_signal(signal.SIGSTOP)
        wix.world.buy(held)
        # A webhook after the claim would make it due again at once.
        await until(lambda: wix.sandbox.delivery.pending == 0)
        # Wix answers the first when it no longer listens.
        wix.knobs.turn(read_delay=2.0)
        asked = len(wix.calls("query"))
        first.send_signal(signal.SIGCONT)
        await until(lambda: len(wix.calls("query")) > asked)
        first.send_signal(signal.SIGSTOP)
        claimed = time.monotonic()
        wix.knobs.turn(read_delay=0.0)
        second.send_signal(signal.SIGCONT)
        await buy_steadily([Buyers(wix, others)], 20, 10)
        watching_it = [page for page in visitors.pages if page.tickets == (held,)]
        await until(lambda: visitors.wrong(wix) <= len(watching_it))
        out_of_date = sum(page.shows(held) != expected_counters(wix, [held])[held] for page in watching_it)
        await until(lambda: visitors.wrong(wix) == 0, lease + 10)
        right = time.monotonic() - claimed
        # Its read from before the suspension is older than the stored one, and it reads on.
        second.send_signal(signal.SIGSTOP)
        first.send_signal(signal.SIGCONT)
        wix.world.buy(held)
        await until(lambda: visitors.wrong(wix) == 0, lease + 10)

    shown = [[json.loads(claim)["unsold"] for _, claim in page.history[held] if claim] for page in watching_it]
    report(f"one of two workers stood still with what it had claimed: that was right {right:.1f} s later")
    assert out_of_date == len(watching_it) > 0
    assert lease - 2 <= right <= lease + 10
    assert [sorted(one, reverse=True) for one in shown] == shown
    assert "Traceback" not in deployment.log
