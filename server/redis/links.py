"""A listener of a whole cluster: a link to each master that has some of the channels.

In: the cluster's map, and names of channels. Out: what was heard on any link. A master that is away silences its own
channels alone: its link is opened anew, or its channels go to who took its place, and each is confirmed again then.
"""

import asyncio
import math
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, suppress

from redis.exceptions import RedisError

from server import logs, metrics
from server.errors import RedisUnavailable
from server.redis.cluster import Cluster
from server.redis.listener import Ended, Link, Received, new_probe
from server.redis.node import Node

RETRY = 0.5
"""Seconds between two tries to open a link, and between two looks at who has the channels that nobody has."""
SETTLE_EVERY = 0.1
"""Seconds between two looks at all channels: a map that is still wrong sends them in circles."""
LISTEN = 1.0
"""Seconds that a link listens before it looks at itself."""
MOST_HEARD = 1000
"""Messages that wait for who listens; then the links wait, and the kernel, and at last Redis."""

log = logs.logger("links")


class Shard:
    """One master's share: the channels that are wanted of it, and its link while that is open."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.wanted: set[str] = set()
        self.link: Link | None = None
        # Whether its last link was lost, or could not be opened.
        self.lost = False
        self.running: asyncio.Task[None] | None = None


class Links:
    """A listener of a cluster. With *patience*, in seconds as a link has it, there is a link to every master."""

    def __init__(self, cluster: Cluster, patience: float | None = None) -> None:
        self._cluster = cluster
        self._patience = patience
        self._shards: dict[Node, Shard] = {}
        # Whose shard each wanted channel is; None while no master has it.
        self._homes: dict[str, Shard | None] = {}
        # Those that any node tells.
        self._everywhere: set[str] = set()
        self._heard: asyncio.Queue[Received | RedisUnavailable] = asyncio.Queue(MOST_HEARD)
        self._astray = asyncio.Event()
        # A bug that ended a task of ours: whoever listens gets it.
        self._bug: BaseException | None = None
        self._closed = False
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
        for shard, names in _grouped((self._homes.pop(name, None), name) for name in channels):
            await self._leave(shard, names)

    async def subscribe_all_nodes(self, *channels: str) -> None:
        """Ask for channels that every node tells: one is asked."""
        self._everywhere.update(channels)
        await self.subscribe(*channels)

    async def receive(self, timeout: float) -> Received | None:  # noqa: ASYNC109
        """Answer the next message or confirmation of any link; raises RedisUnavailable when the last link is lost."""
        if self._bug:
            raise self._bug
        found: Received | RedisUnavailable | None = None
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                found = await self._heard.get()
        if isinstance(found, RedisUnavailable):
            if all(shard.lost for shard in self._shards.values()):
                raise found
            return None
        return found

    @property
    def probes(self) -> Sequence[str]:
        """One for each link that is open."""
        return [probe for shard in self._shards.values() if shard.link for probe in shard.link.probes]

    @property
    def last_probe(self) -> float:
        """That of the link that is best: to leave for one that is away would take its viewers from all others."""
        return max((shard.link.last_probe for shard in self._shards.values() if shard.link), default=-math.inf)

    def connected(self, channel: str) -> bool:
        """Whether the link to the master that has it is open."""
        home = self._homes.get(channel)
        return home is not None and home.link is not None

    async def aclose(self) -> None:
        """Close all links."""
        self._closed = True
        running = [self._tending, *(shard.running for shard in self._shards.values() if shard.running)]
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
                    self._shard(node)
            for shard in list(self._shards.values()):
                if self._over(shard):
                    await self._end(shard)
            await asyncio.sleep(SETTLE_EVERY)
            if None in self._homes.values() or any(shard.lost for shard in self._shards.values()):
                await asyncio.sleep(RETRY)
                self._astray.set()

    async def _settle(self, channels: Iterable[str], *, again: bool = False) -> None:
        """Ask the masters that have these now, where others had them or none; or *again* in any case."""
        owners = [(self._owner(name), name) for name in list(channels) if name in self._homes]
        for shard, names in _grouped(
            (shard, name) for shard, name in owners if again or shard is not self._homes[name]
        ):
            for old, left in _grouped((self._homes.get(name), name) for name in names):
                if old is not shard:
                    await self._leave(old, left)
            # Some may have been given up meanwhile.
            wanted = [name for name in names if name in self._homes]
            self._homes |= dict.fromkeys(wanted, shard)
            shard.wanted.update(wanted)
            await self._ask(shard, wanted)
        if None in self._homes.values():
            self._astray.set()

    def _owner(self, name: str) -> Shard | None:
        if name not in self._everywhere:
            node = self._cluster.owner(name)
            return None if node is None else self._shard(node)
        home = self._homes[name]
        if home and not home.lost:
            return home
        open_ = [shard for shard in self._shards.values() if shard.link]
        masters = self._cluster.masters
        return random.choice(open_) if open_ else self._shard(random.choice(masters)) if masters else home  # noqa: S311 - any will do

    def _shard(self, node: Node) -> Shard:
        shard = self._shards.get(node)
        if shard is None:
            shard = self._shards[node] = Shard(node)
            if not self._closed:
                shard.running = self._task(self._run(shard))
        return shard

    def _task(self, coroutine: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine, name="links")
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (bug := task.exception()):
            self._bug = bug

    def _over(self, shard: Shard) -> bool:
        """Whether nothing more is wanted of a master."""
        return not shard.wanted and not (self._patience is not None and shard.node in self._cluster.masters)

    async def _end(self, shard: Shard) -> None:
        del self._shards[shard.node]
        if shard.running:
            shard.running.cancel()
            await asyncio.wait({shard.running})

    # -- links: whatever fails on one is found by who listens on it --

    async def _ask(self, shard: Shard, names: Collection[str]) -> None:
        if shard.link:
            with suppress(RedisUnavailable):
                await self._subscribe(shard.link, names)

    async def _leave(self, shard: Shard, names: Collection[str]) -> None:
        shard.wanted.difference_update(names)
        if shard.link:
            with suppress(RedisUnavailable):
                await shard.link.unsubscribe(*names)

    async def _subscribe(self, link: Link, names: Collection[str]) -> None:
        if sharded := [name for name in names if name not in self._everywhere]:
            await link.subscribe(*sharded)
        if plain := self._everywhere.intersection(names):
            await link.subscribe_all_nodes(*plain)

    async def _run(self, shard: Shard) -> None:
        """Listen to one master for ever: to lose it is not the end, as it may come back."""
        while True:
            try:
                async with self._opened(shard) as link:
                    await self._listen(shard, link)
            except RedisUnavailable as error:
                if not shard.lost:
                    log.warning("link_lost", error=str(error))
                shard.lost = True
                self._astray.set()
                await self._heard.put(error)
            await asyncio.sleep(RETRY)

    @asynccontextmanager
    async def _opened(self, shard: Shard) -> AsyncIterator[Link]:
        """A link, to what is wanted of this master now."""
        link = Link(shard.node, sharded=True)
        if self._patience is not None and (tag := self._cluster.tag(shard.node)):
            link = Link(shard.node, new_probe(tag), self._patience, sharded=True)
        try:
            await link.open()
            if shard.lost and shard.wanted:
                metrics.resyncs.labels("new_link").inc()
            shard.link, shard.lost = link, False
            await self._subscribe(link, shard.wanted)
            yield link
        finally:
            shard.link = None
            await link.aclose()

    async def _listen(self, shard: Shard, link: Link) -> None:
        while True:
            try:
                heard = await link.receive(LISTEN)
            except Ended as ended:
                if any(ended.tells(probe) for probe in link.probes):
                    raise
                for name in [one for one in shard.wanted if ended.tells(one)]:
                    shard.wanted.discard(name)
                    if name in self._homes:
                        self._homes[name] = None
                self._astray.set()
            else:
                if heard is not None:
                    await self._heard.put(heard)
            if self._patience is not None and not link.probes and self._cluster.tag(shard.node):
                return  # It had no slot when it was opened, so no probe: it is opened anew with one.


def _grouped(pairs: Iterable[tuple[Shard | None, str]]) -> list[tuple[Shard, list[str]]]:
    """The names of each shard; those of none are left out."""
    found = defaultdict[Shard, list[str]](list)
    for shard, name in pairs:
        if shard is not None:
            found[shard].append(name)
    return list(found.items())
