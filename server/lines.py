"""A listener of a whole cluster: a line to each master that has some of the channels.

In: the cluster's map, and names of channels. Out: what was heard on any line. A master that is away silences its own
channels alone: its line is opened anew, or its channels go to who took its place, and each is confirmed again then.
"""

import asyncio
import math
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, suppress

from redis.exceptions import RedisError

from server import logs, metrics
from server.cluster import Cluster
from server.errors import StoreUnavailable
from server.listener import Ended, Heard, Line, new_probe
from server.node import Node

RETRY = 0.5
"""Seconds between two tries to open a line, and between two looks at who has the channels that nobody has."""
SETTLE_EVERY = 0.1
"""Seconds between two looks at all channels: a map that is still wrong sends them in circles."""
LISTEN = 1.0
"""Seconds that a line listens before it looks at itself."""
MOST_HEARD = 1000
"""Messages that wait for who listens; then the lines wait, and the kernel, and at last Redis."""

log = logs.logger("lines")


class Part:
    """One master's share: the channels that are wanted of it, and its line while that is open."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.wanted: set[str] = set()
        self.line: Line | None = None
        # Whether its last line was lost, or could not be opened.
        self.lost = False
        self.running: asyncio.Task[None] | None = None


class Lines:
    """A listener of a cluster. With *patience*, in seconds as a line has it, there is a line to every master."""

    def __init__(self, cluster: Cluster, patience: float | None = None) -> None:
        self._cluster = cluster
        self._patience = patience
        self._parts: dict[Node, Part] = {}
        # Whose part each wanted channel is; None while no master has it.
        self._homes: dict[str, Part | None] = {}
        # Those that any node tells.
        self._everywhere: set[str] = set()
        self._heard: asyncio.Queue[Heard | StoreUnavailable] = asyncio.Queue(MOST_HEARD)
        self._astray = asyncio.Event()
        # What ended a task of ours: a bug, which is whose who listens.
        self._bug: BaseException | None = None
        self._tending = self._task(self._tend())
        if patience is not None:
            self._astray.set()

    async def subscribe(self, *channels: str) -> None:
        """Ask for ticket channels, even for those that are heard already: each is confirmed."""
        for name in channels:
            self._homes.setdefault(name, None)
        await self._settle(channels, again=True)

    async def unsubscribe(self, *channels: str) -> None:
        """Stop listening to them."""
        for part, names in _grouped((self._homes.pop(name, None), name) for name in channels):
            await self._leave(part, names)

    async def subscribe_all_nodes(self, *channels: str) -> None:
        """Ask for channels that every node tells: one is asked."""
        self._everywhere.update(channels)
        await self.subscribe(*channels)

    async def hear(self, timeout: float) -> Heard | None:  # noqa: ASYNC109
        """Answer the next message or confirmation of any line; raises StoreUnavailable when the last line is lost."""
        if self._bug:
            raise self._bug
        found: Heard | StoreUnavailable | None = None
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                found = await self._heard.get()
        if isinstance(found, StoreUnavailable):
            if all(part.lost for part in self._parts.values()):
                raise found
            return None
        return found

    @property
    def probes(self) -> Sequence[str]:
        """One for each line that is open."""
        return [probe for part in self._parts.values() if part.line for probe in part.line.probes]

    @property
    def pulse(self) -> float:
        """That of the line that is best: to leave for one that is away would take its viewers from all others."""
        return max((part.line.pulse for part in self._parts.values() if part.line), default=-math.inf)

    def hears(self, channel: str) -> bool:
        """Whether the line to the master that has it is open."""
        home = self._homes.get(channel)
        return home is not None and home.line is not None

    async def aclose(self) -> None:
        """Close all lines."""
        running = [self._tending, *(part.running for part in self._parts.values() if part.running)]
        for task in running:
            task.cancel()
        await asyncio.wait(running)

    # -- who has what --

    async def _tend(self) -> None:
        """Bring channels to their masters, whenever some have lost theirs, until all have one."""
        while True:
            await self._astray.wait()
            self._astray.clear()
            with suppress(RedisError, OSError):
                await self._cluster.learn()
            await self._settle(self._homes)
            if self._patience is not None:
                for node in self._cluster.masters:
                    self._part(node)
            for part in list(self._parts.values()):
                if self._over(part):
                    await self._end(part)
            await asyncio.sleep(SETTLE_EVERY)
            if None in self._homes.values() or any(part.lost for part in self._parts.values()):
                await asyncio.sleep(RETRY)
                self._astray.set()

    async def _settle(self, channels: Iterable[str], *, again: bool = False) -> None:
        """Ask the masters that have these now, where others had them or none; or *again* in any case."""
        owners = [(self._owner(name), name) for name in list(channels) if name in self._homes]
        for part, names in _grouped((part, name) for part, name in owners if again or part is not self._homes[name]):
            for old, left in _grouped((self._homes[name], name) for name in names):
                if old is not part:
                    await self._leave(old, left)
            # Some may have been given up meanwhile.
            wanted = [name for name in names if name in self._homes]
            self._homes |= dict.fromkeys(wanted, part)
            part.wanted.update(wanted)
            await self._ask(part, wanted)
        if None in self._homes.values():
            self._astray.set()

    def _owner(self, name: str) -> Part | None:
        if name not in self._everywhere:
            node = self._cluster.owner(name)
            return None if node is None else self._part(node)
        home = self._homes[name]
        if home and not home.lost:
            return home
        open_ = [part for part in self._parts.values() if part.line]
        masters = self._cluster.masters
        return random.choice(open_) if open_ else self._part(random.choice(masters)) if masters else home  # noqa: S311 - any will do

    def _part(self, node: Node) -> Part:
        part = self._parts.get(node)
        if part is None:
            part = self._parts[node] = Part(node)
            part.running = self._task(self._run(part))
        return part

    def _task(self, coroutine: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine, name="lines")
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (bug := task.exception()):
            self._bug = bug

    def _over(self, part: Part) -> bool:
        """Whether nothing more is wanted of a master."""
        return not part.wanted and not (self._patience is not None and part.node in self._cluster.masters)

    async def _end(self, part: Part) -> None:
        del self._parts[part.node]
        if part.running:
            part.running.cancel()
            await asyncio.wait({part.running})

    # -- lines: whatever fails on one is found by who listens on it --

    async def _ask(self, part: Part, names: Collection[str]) -> None:
        if part.line:
            with suppress(StoreUnavailable):
                await self._subscribe(part.line, names)

    async def _leave(self, part: Part, names: Collection[str]) -> None:
        part.wanted.difference_update(names)
        if part.line:
            with suppress(StoreUnavailable):
                await part.line.unsubscribe(*names)

    async def _subscribe(self, line: Line, names: Collection[str]) -> None:
        if sharded := [name for name in names if name not in self._everywhere]:
            await line.subscribe(*sharded)
        if plain := self._everywhere.intersection(names):
            await line.subscribe_all_nodes(*plain)

    async def _run(self, part: Part) -> None:
        """Listen to one master for ever: to lose it is not the end, as it may come back."""
        while True:
            try:
                async with self._opened(part) as line:
                    await self._listen(part, line)
            except StoreUnavailable as error:
                if not part.lost:
                    log.warning("line_lost", error=str(error))
                part.lost = True
                self._astray.set()
                await self._heard.put(error)
            await asyncio.sleep(RETRY)

    @asynccontextmanager
    async def _opened(self, part: Part) -> AsyncIterator[Line]:
        """A line, to what is wanted of this master now."""
        line = Line(part.node, sharded=True)
        if self._patience is not None and (tag := self._cluster.tag(part.node)):
            line = Line(part.node, new_probe(tag), self._patience, sharded=True)
        try:
            await line.open()
            if part.lost and part.wanted:
                metrics.resyncs.labels("new_line").inc()
            part.line, part.lost = line, False
            await self._subscribe(line, part.wanted)
            yield line
        finally:
            part.line = None
            await line.aclose()

    async def _listen(self, part: Part, line: Line) -> None:
        while True:
            try:
                heard = await line.hear(LISTEN)
            except Ended as ended:
                if any(ended.tells(probe) for probe in line.probes):
                    raise
                for name in [one for one in part.wanted if ended.tells(one)]:
                    part.wanted.discard(name)
                    self._homes[name] = None
                self._astray.set()
            else:
                if heard is not None:
                    await self._heard.put(heard)


def _grouped(pairs: Iterable[tuple[Part | None, str]]) -> list[tuple[Part, list[str]]]:
    """The names of each part; those of none are left out."""
    found = defaultdict[Part, list[str]](list)
    for part, name in pairs:
        if part is not None:
            found[part].append(name)
    return list(found.items())
