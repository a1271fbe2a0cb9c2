"""LOW_AT and SHOW_AT_MOST are changed in running deployments: each web process shows only what its own settings allow."""

import asyncio
import json
import random
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from tests.rig.background import background
from tests.rig.deployment import Deployment
from tests.rig.frame_viewers import FrameViewer
from tests.rig.process import Command, Run
from tests.rig.recording_viewers import RecordingViewer, polling_viewer, sse_viewer, websocket_viewer
from tests.rig.redis import Servers, free_port
from tests.rig.report import report
from tests.rig.server import until
from tests.rig.wix import WixRig, running_wix

FEW = {"LOW_AT": "3", "SHOW_AT_MOST": "20"}
ALL = {"LOW_AT": "40", "SHOW_AT_MOST": ""}
CHANGES = 6
EACH = 3.0
"""Seconds between two changes."""
MOST = 60


def shown(viewers: list[RecordingViewer]) -> list[tuple[str, int | None]]:
    """All states and numbers that these viewers were shown."""
    return [(one.counter["state"], one.counter["unsold"]) for viewer in viewers for one in viewer.received]


def gets_more(viewers: list[RecordingViewer], than: int) -> bool:
    """Whether these viewers were shown more than so many counters."""
    return len(shown(viewers)) > than


async def test_settings_change_while_tickets_are_sold(command: Run, redis_url: str, wix: WixRig) -> None:
    """Law 13: While the settings change again and again under orders, no viewer gets what its own process's settings hide."""
    ticket = wix.tickets["fixed"]
    wix.world.update(ticket, limit=MOST)
    chance = random.Random(7)

    async def stock_moves() -> None:
        while True:
            wix.world.update(ticket, limit=chance.randint(1, MOST))
            await asyncio.sleep(0.15)

    async with AsyncExitStack() as stack:
        deployment = Deployment(command, redis_url, wix.settings(), WATCH_EVERY="1")
        webs = [await deployment.web(**settings) for settings in (FEW, ALL)]
        wix.send_to(webs[0])
        few, all_ = [
            [
                await stack.enter_async_context(kind(url, wix.site, [ticket]))
                for kind in (websocket_viewer, sse_viewer, polling_viewer)
            ]
            for url in webs
        ]
        async with background(stock_moves()):
            for number in range(CHANGES):
                settings, its_viewers = ((FEW, few), (ALL, all_))[number % 2]
                worker = deployment.worker(**settings)
                before = len(shown(its_viewers))
                await asyncio.sleep(EACH)
                await until(partial(gets_more, its_viewers, before + 3))
                await worker.stop()
        # The last settings hold.
        wix.world.update(ticket, limit=MOST)
        deployment.worker(**FEW)
        await until(lambda: {"available"} == {one.state(ticket) for one in few})
        wix.world.update(ticket, limit=2)
        await until(lambda: {("low", 2)} == {(one.state(ticket), one.unsold(ticket)) for one in few})

    hidden = [(state, unsold) for state, unsold in shown(few) if unsold is not None and unsold > 20]
    wrong = [(state, unsold) for state, unsold in shown(few) if state == "low" and (unsold is None or unsold > 3)]
    wrong += [(state, unsold) for state, unsold in shown(all_) if state == "available" and (unsold or MOST) <= 40]
    report(f"{CHANGES} changes of the settings: {len(shown(few))} and {len(shown(all_))} counters shown")
    assert [] == hidden
    assert [] == wrong
    assert any(unsold is not None and unsold > 20 for _, unsold in shown(all_))
    assert any(unsold is not None and unsold > 3 for _, unsold in shown(few))


# -- one process after the other, beside other deployments --


ORDERS = (
    ("webs first", ("web 0", "web 1", "worker"), ALL),
    ("worker first", ("worker", "web 1", "web 0"), FEW),
    ("worker first, back", ("worker", "web 0", "web 1"), ALL),
    ("webs first, back", ("web 1", "web 0", "worker"), FEW),
)
"""Which process is restarted after which, and the settings that it gets."""
NEIGHBOURS = {
    "another database": {"LOW_AT": "0", "SHOW_AT_MOST": "0"},
    "another prefix": {"LOW_AT": "4000000", "SHOW_AT_MOST": ""},
}
BETWEEN = 2.5
"""Seconds between two restarts."""
LARGE = (3_000_000, 3_999_999)
"""Numbers that are found in any text, whatever stands around them."""
NOT_NUMBERS = re.compile(r'"(?:v|beat)":[0-9]+|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{24}|^date: .*', re.MULTILINE)
"""What contains digits of its own: versions and times, ids, ETags."""


class RollingDeployment:
    """A worker and webs on fixed ports, a Wix of its own, and viewers of each web; processes by names: worker, web 0, ..."""

    def __init__(self, name: str, run: Run, wix: WixRig, redis_url: str, webs: int, **more: str) -> None:
        self.name = name
        self.wix = wix
        self.ticket = wix.tickets["fixed"]
        self.settings: dict[str, Mapping[str, str]] = {}
        self.lives: dict[str, list[tuple[float, Mapping[str, str]]]] = {}
        self._deployment = Deployment(run, redis_url, wix.settings(), WATCH_EVERY="1", **more)
        self._ports = {f"web {number}": free_port() for number in range(webs)}
        self._processes: dict[str, Command] = {}
        wix.world.update(self.ticket, name=f"Gala, {name}")
        self.viewers = [
            FrameViewer(web, kind, port, wix.site, [self.ticket])
            for web, port in self._ports.items()
            for kind in ("ws", "sse", "json")
        ]

    async def start(self, settings: Mapping[str, str]) -> None:
        """Start all its processes."""
        for name in ("worker", *self._ports):
            await self.restart(name, settings)
        self.wix.send_to(f"http://127.0.0.1:{self._ports['web 0']}")

    async def restart(self, name: str, settings: Mapping[str, str]) -> None:
        """Stop a process, if it runs, and start it with these settings."""
        if name in self._processes:
            await self._processes[name].stop()
        self.settings[name] = settings
        self.lives.setdefault(name, []).append((time.monotonic(), settings))
        if name == "worker":
            self._processes[name] = self._deployment.worker(**settings)
        else:
            self._processes[name] = self._deployment.start("web", **settings, PORT=str(self._ports[name]))
            await self._processes[name].url()

    async def trade(self) -> None:
        """Change how many tickets there are, for ever: few ones, and so many that they are found in any text."""
        chance = random.Random(self.name)
        while True:
            self.wix.world.update(self.ticket, limit=chance.randint(*chance.choice([(1, MOST), LARGE])))
            await asyncio.sleep(0.15)

    def right(self) -> bool:
        """Whether every viewer sees what the settings of its web make of what is left."""
        left = self.wix.world.tickets[self.ticket].left
        assert left
        for viewer in self.viewers:
            settings = self.settings[viewer.web]
            most = int(settings["SHOW_AT_MOST"] or left)
            expected = ("low" if left <= int(settings["LOW_AT"]) else "available", left if left <= most else None)
            found = json.loads(viewer.last.get(self.ticket, "{}"))
            if expected != (found.get("state"), found.get("unsold")):
                return False
        return True

    def wrong(self) -> Iterator[str]:
        """What was on the wire and should not have been, by the settings that the web had then."""
        for viewer in self.viewers:
            for one in viewer.wire:
                settings = [found for since, found in self.lives[viewer.web] if since <= one.at][-1]
                text = NOT_NUMBERS.sub("", one.text or "")
                numbers = [int(number) for number in re.findall(r'(?<="unsold":)[0-9]+|[0-9]{7,}', text)]
                if settings["SHOW_AT_MOST"] and max(numbers, default=0) > int(settings["SHOW_AT_MOST"]):
                    yield f"{self.name}, {viewer.web} ({viewer.kind}): a hidden number: {one.text}"
                low = [int(number) for number in re.findall(r'"state":"low","unsold":([0-9]+)', text)]
                if max(low, default=0) > int(settings["LOW_AT"]):
                    yield f"{self.name}, {viewer.web} ({viewer.kind}): `low` above LOW_AT: {one.text}"
                if {f"Gala, {self.name}"} < {f"Gala, {self.name}", *re.findall(r'Gala, [^"]*', text)}:
                    yield f"{self.name}, {viewer.web} ({viewer.kind}): of another deployment: {one.text}"


@asynccontextmanager
async def neighbour(name: str, command: Run, redis_url: str, **more: str) -> AsyncIterator[RollingDeployment]:
    """A deployment of one web and one worker, with a Wix of its own that has the same site and tickets."""
    async with running_wix() as wix:
        yield RollingDeployment(name, command, wix, redis_url, 1, **more)


async def test_rolling_change_beside_other_deployments(command: Run, redis_server: Servers, wix: WixRig) -> None:
    """Law 13: Whatever is restarted first, no byte says what a web's settings hide, or what another deployment has."""
    url = redis_server().url
    async with (
        neighbour("another database", command, url.replace("/0", "/3")) as in_db,
        neighbour("another prefix", command, url, REDIS_PREFIX="shop") as with_prefix,
    ):
        main = RollingDeployment("the first", command, wix, url, 2)
        all_ = (main, in_db, with_prefix)
        async with background(*(viewer.run() for one in all_ for viewer in one.viewers)):
            await main.start(FEW)
            for one in (in_db, with_prefix):
                await one.start(NEIGHBOURS[one.name])
            for _, names, settings in ORDERS:
                async with background(*(one.trade() for one in all_)):
                    for name in names:
                        await main.restart(name, settings)
                        await asyncio.sleep(BETWEEN)
                for one in all_:
                    await until(one.right)

    wires = [one for found in all_ for viewer in found.viewers for one in viewer.wire]
    states = Counter(
        json.loads(text)["state"] for found in all_ for viewer in found.viewers for text in counters(viewer)
    )
    report(
        f"{len(ORDERS)} rolling changes of {len(ORDERS[0][1])} processes, beside {len(NEIGHBOURS)} other deployments: "
        f"{len(wires)} texts on {sum(len(one.viewers) for one in all_)} wires, {dict(states)}"
    )
    assert [] == [fault for one in all_ for fault in one.wrong()]
    assert {"available", "low", "unknown"} == set(states)
    # Each kind of number was there to be hidden.
    for one in (main, with_prefix):
        assert any(LARGE[0] <= (json.loads(text)["unsold"] or 0) for viewer in one.viewers for text in counters(viewer))


def counters(viewer: FrameViewer) -> Iterator[str]:
    """The counters that a viewer was shown."""
    return (one.text for one in viewer.frames if one.text is not None and '"ticket"' in one.text)
