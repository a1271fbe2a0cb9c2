"""Everything that runs: the local Wix in this event loop, a Valkey, a web and a worker of each revision, and viewers of both webs.

In: the folder of each revision's code. Out: parts that can be started and stopped, and a Record of what was shown, stored and true.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from redis.asyncio import Redis

from bench.chaos.recorder import Recorder
from bench.chaos.timeline import Span
from server.counter import Rules
from tests.rig.background import background
from tests.rig.default_keys import key
from tests.rig.frame_viewers import FrameViewer
from tests.rig.process import Command
from tests.rig.redis import RedisServer, free_port
from tests.rig.wix import WixRig, running_wix

TICKET_KINDS = ("fixed", "options", "low", "unlimited")
KINDS = ("ws", "sse", "json")
SETTINGS = {"WATCH_EVERY": "5", "MAX_STALE": "15", "RECONCILE": "60", "MAX_CONNECTIONS_PER_ADDRESS": "100"}
"""Times of a third of the defaults and less, as in bench/chaos."""
LOOK_EVERY = 0.02
"""Seconds between two looks at what is stored."""
STOP_WITHIN = 20.0
NEW = Rules().hash
"""The rules of this code."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The hash of the site's rules, and of the rules by which each ticket's counter was made, from a time on."""

    at: float
    site: str | None
    tickets: Mapping[str, str | None]


@dataclass(slots=True)
class Record:
    """All that is to be checked. *end* is when it was taken; *stages* are the times and names of the stages."""

    began: float
    end: float
    recorder: Recorder
    viewers: Sequence[FrameViewer]
    stored: Sequence[Stored]
    running: Mapping[str, Sequence[Span]]
    stages: Sequence[tuple[float, str]]

    def new_rules(self) -> Iterator[Span]:
        """When the site had the rules of this code."""
        for one, after in pairwise([*self.stored, Stored(self.end, None, {})]):
            if one.site == NEW:
                yield one.at, after.at


@dataclass
class Parts:
    """The running parts; processes by names such as `old worker`."""

    folder: Path
    wix: WixRig
    redis: RedisServer
    roots: Mapping[str, Path]
    ports: Mapping[str, int]
    recorder: Recorder
    viewers: list[FrameViewer] = field(default_factory=list)
    stored: list[Stored] = field(default_factory=list)
    stages: list[tuple[float, str]] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    _commands: dict[str, Command] = field(default_factory=dict)
    _running: dict[str, list[Span]] = field(default_factory=dict)
    _since: dict[str, float] = field(default_factory=dict)
    _started: int = 0

    @property
    def tickets(self) -> list[str]:
        """The tickets that are watched."""
        return [self.wix.tickets[kind] for kind in TICKET_KINDS]

    def runs(self, name: str) -> bool:
        """Whether this part runs."""
        return name in self._commands

    async def start(self, name: str) -> None:
        """Start a part and wait until it works: a web listens, a worker has added the site."""
        revision, what = name.split()
        self._started += 1
        port = {"PORT": str(self.ports[revision])} if what == "web" else {}
        settings = {one.upper(): value for one, value in self.wix.settings().items()}
        command = Command(
            self.folder / f"{self._started:02}-{revision}-{what}",
            what,
            **{**settings, **SETTINGS, **port, "REDIS_URL": self.redis.url, "PYTHONPATH": str(self.roots[revision])},
        )
        self._commands[name] = command
        self._since[name] = time.monotonic()
        if what == "web":
            await command.url()
        self._send_webhooks()

    async def stop(self, name: str) -> None:
        """Stop a part (SIGTERM) and wait for its end."""
        command = self._commands.pop(name)
        self._send_webhooks()
        command.process.terminate()
        await asyncio.to_thread(command.process.wait, STOP_WITHIN)
        self._running.setdefault(name, []).append((self._since.pop(name), time.monotonic()))

    def kill_all(self) -> None:
        """Kill what still runs."""
        for command in self._commands.values():
            command.process.kill()
            command.process.wait()

    def record(self) -> Record:
        """What was recorded up to now."""
        now = time.monotonic()
        running = {name: list(spans) for name, spans in self._running.items()}
        for name, since in self._since.items():
            running.setdefault(name, []).append((since, now))
        return Record(self.began, now, self.recorder, self.viewers, self.stored, running, self.stages)

    async def look(self) -> None:
        """Record what is stored, for ever."""
        async with Redis.from_url(self.redis.url, decode_responses=True) as redis:
            while True:
                pipeline = redis.pipeline(transaction=True)
                pipeline.hget(key(self.wix.site, "site"), "rules")
                for ticket in self.tickets:
                    pipeline.hget(key(self.wix.site, "ticket", ticket), "rules")
                site, *rules = await pipeline.execute()
                found = Stored(time.monotonic(), site, dict(zip(self.tickets, rules, strict=True)))
                if not self.stored or (self.stored[-1].site, self.stored[-1].tickets) != (site, found.tickets):
                    self.stored.append(found)
                await asyncio.sleep(LOOK_EVERY)

    async def alternate_webhooks(self) -> None:
        """Send webhooks to the running webs in turn, for ever, as a balancer would."""
        while True:
            await asyncio.sleep(1)
            self._send_webhooks()

    def _send_webhooks(self) -> None:
        webs = [self.ports[name.split()[0]] for name in self._commands if name.endswith("web")]
        port = webs[int(time.monotonic()) % len(webs)] if webs else None
        self.wix.sandbox.delivery.urls = (f"http://127.0.0.1:{port}/webhooks/wix",) if port else ()


@asynccontextmanager
async def running_parts(folder: Path, roots: Mapping[str, Path]) -> AsyncIterator[Parts]:
    """A Valkey, the local Wix and viewers for the duration of the block; no process of the server runs yet."""
    async with AsyncExitStack() as stack:
        wix = await stack.enter_async_context(running_wix())
        # Answers overtake each other, as Wix's do.
        wix.knobs.turn(read_delay=0.05, read_jitter=0.2)
        redis = RedisServer(folder / "redis")
        stack.callback(redis.kill)
        redis.start()
        recorder = Recorder(wix.sandbox)
        ports = {name: free_port() for name in roots}
        parts = Parts(folder, wix, redis, roots, ports, recorder)
        stack.callback(parts.kill_all)
        parts.viewers += [
            FrameViewer(name, kind, port, wix.site, parts.tickets, recorder.observe)
            for name, port in ports.items()
            for kind in KINDS
        ]
        await stack.enter_async_context(
            background(recorder.run(), parts.look(), parts.alternate_webhooks(), *(one.run() for one in parts.viewers))
        )
        yield parts
