"""Pub/sub of a cluster: a link to each master that has some of the channels.

In: the cluster's slot map, and names of channels. Out: what was received on any link. An unavailable master silences its
own channels alone: its link is opened again, or its channels move to the new master, and each is then confirmed again.
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
from server.redis.listener import Link, Received, SlotMoved, new_probe
from server.redis.namespace import Namespace
from server.redis.node import Node

RETRY = 0.5
"""Seconds between two attempts to open a link, and between two attempts to find masters for channels without one."""
REASSIGN_EVERY = 0.1
"""Seconds between two assignments of all channels: with a wrong slot map they would move in circles."""
RECEIVE_TIMEOUT = 1.0
"""Seconds that a task waits on its link before it checks whether the link needs a probe."""
MAX_QUEUED = 1000
"""Messages in the queue; when it is full the links wait, then the kernel's buffers fill, and at last those of Redis."""

log = logs.logger("links")


class MasterState:
    """What is kept for one master: its channels, its link while that is open, and the task that runs it."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.channels: set[str] = set()
        self.link: Link | None = None
        # Whether its last link was lost, or could not be opened.
        self.failed = False
        self.task: asyncio.Task[None] | None = None


class Links:
    """A listener of a cluster. With *probe_timeout*, in seconds, there is a link to every master, each with a probe."""

    def __init__(self, cluster: Cluster, namespace: Namespace, probe_timeout: float | None = None) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._probe_timeout = probe_timeout
        self._masters: dict[Node, MasterState] = {}
        # The master of each subscribed channel; None while no master has it.
        self._assigned: dict[str, MasterState | None] = {}
        # Channels that every node delivers.
        self._unsharded: set[str] = set()
        self._queue: asyncio.Queue[Received | RedisUnavailable] = asyncio.Queue(MAX_QUEUED)
        # Set when channels may have to be assigned to other masters.
        self._reassign = asyncio.Event()
        # An unexpected error that ended one of the tasks: `receive` raises it.
        self._task_error: BaseException | None = None
        self._closed = False
        self._reassigning = self._start(self._reassign_channels())
        if probe_timeout is not None:
            self._reassign.set()

    async def subscribe(self, *channels: str) -> None:
        """Subscribe to ticket channels; those that are subscribed already are confirmed again too."""
        for name in channels:
            self._assigned.setdefault(name, None)
        await self._assign(channels, again=True)

    async def unsubscribe(self, *channels: str) -> None:
        """End these subscriptions."""
        for master, names in _by_master((self._assigned.pop(name, None), name) for name in channels):
            await self._unsubscribe_from(master, names)

    async def subscribe_all_nodes(self, *channels: str) -> None:
        """Subscribe, on one node, to channels that every node delivers."""
        self._unsharded.update(channels)
        await self.subscribe(*channels)

    async def receive(self, timeout: float) -> Received | None:  # noqa: ASYNC109
        """Return the next message or confirmation of any link; raises RedisUnavailable when all masters have failed."""
        if self._task_error:
            raise self._task_error
        received: Received | RedisUnavailable | None = None
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                received = await self._queue.get()
        if isinstance(received, RedisUnavailable):
            if all(master.failed for master in self._masters.values()):
                raise received
            return None
        return received

    @property
    def probes(self) -> Sequence[str]:
        """One for each open link."""
        return [probe for master in self._masters.values() if master.link for probe in master.link.probes]

    @property
    def last_probe(self) -> float:
        """The latest of all links: one unavailable master must not make the caller replace the links to all others."""
        return max((master.link.last_probe for master in self._masters.values() if master.link), default=-math.inf)

    def connected(self, channel: str) -> bool:
        """Whether the link to its master is open."""
        master = self._assigned.get(channel)
        return master is not None and master.link is not None

    async def aclose(self) -> None:
        """Close all links."""
        self._closed = True
        tasks = [self._reassigning, *(master.task for master in self._masters.values() if master.task)]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    # -- which master has which channels --

    async def _reassign_channels(self) -> None:
        """Assign channels to their masters again whenever that is needed, and retry until each has one."""
        while True:
            await self._reassign.wait()
            self._reassign.clear()
            with suppress(RedisError, OSError):
                await self._cluster.refresh()
            await self._assign(self._assigned)
            if self._probe_timeout is not None:
                for node in self._cluster.masters:
                    self._state_of(node)
            for master in list(self._masters.values()):
                if self._unused(master):
                    await self._remove(master)
            await asyncio.sleep(REASSIGN_EVERY)
            if None in self._assigned.values() or any(master.failed for master in self._masters.values()):
                await asyncio.sleep(RETRY)
                self._reassign.set()

    async def _assign(self, channels: Iterable[str], *, again: bool = False) -> None:
        """Subscribe on the master that has each channel now, where it changed, or with *again* in any case."""
        current = [(self._master_for(name), name) for name in list(channels) if name in self._assigned]
        for master, names in _by_master(
            (master, name) for master, name in current if again or master is not self._assigned[name]
        ):
            for former, moved in _by_master((self._assigned.get(name), name) for name in names):
                if former is not master:
                    await self._unsubscribe_from(former, moved)
            # Some may have been unsubscribed meanwhile.
            still_subscribed = [name for name in names if name in self._assigned]
            self._assigned |= dict.fromkeys(still_subscribed, master)
            master.channels.update(still_subscribed)
            await self._subscribe_on(master, still_subscribed)
        if None in self._assigned.values():
            self._reassign.set()

    def _master_for(self, name: str) -> MasterState | None:
        if name not in self._unsharded:
            node = self._cluster.owner(name)
            return None if node is None else self._state_of(node)
        master = self._assigned[name]
        if master and not master.failed:
            return master
        connected = [other for other in self._masters.values() if other.link]
        nodes = self._cluster.masters
        return random.choice(connected) if connected else self._state_of(random.choice(nodes)) if nodes else master  # noqa: S311 - any will do

    def _state_of(self, node: Node) -> MasterState:
        master = self._masters.get(node)
        if master is None:
            master = self._masters[node] = MasterState(node)
            if not self._closed:
                master.task = self._start(self._run(master))
        return master

    def _start(self, coroutine: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine, name="links")
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self._task_error = error

    def _unused(self, master: MasterState) -> bool:
        """Whether a master has no channel and needs no probe."""
        return not master.channels and not (self._probe_timeout is not None and master.node in self._cluster.masters)

    async def _remove(self, master: MasterState) -> None:
        del self._masters[master.node]
        if master.task:
            master.task.cancel()
            await asyncio.wait({master.task})

    # -- links: the task that listens on a link finds every failure of it --

    async def _subscribe_on(self, master: MasterState, names: Collection[str]) -> None:
        if master.link:
            with suppress(RedisUnavailable):
                await self._subscribe(master.link, names)

    async def _unsubscribe_from(self, master: MasterState, names: Collection[str]) -> None:
        master.channels.difference_update(names)
        if master.link:
            with suppress(RedisUnavailable):
                await master.link.unsubscribe(*names)

    async def _subscribe(self, link: Link, names: Collection[str]) -> None:
        if sharded := [name for name in names if name not in self._unsharded]:
            await link.subscribe(*sharded)
        if unsharded := self._unsharded.intersection(names):
            await link.subscribe_all_nodes(*unsharded)

    async def _run(self, master: MasterState) -> None:
        """Listen to one master for ever: after a failure it may come back."""
        while True:
            try:
                async with self._open_link(master) as link:
                    await self._listen(master, link)
            except RedisUnavailable as error:
                if not master.failed:
                    log.warning("link_lost", error=str(error))
                master.failed = True
                self._reassign.set()
                await self._queue.put(error)
            await asyncio.sleep(RETRY)

    @asynccontextmanager
    async def _open_link(self, master: MasterState) -> AsyncIterator[Link]:
        """A link that subscribes to the channels of this master."""
        link = Link(master.node, sharded=True)
        if self._probe_timeout is not None and (hash_tag := self._cluster.hash_tag(master.node)):
            link = Link(master.node, new_probe(self._namespace, hash_tag), self._probe_timeout, sharded=True)
        try:
            await link.open()
            if master.failed and master.channels:
                metrics.resyncs.labels("new_link").inc()
            master.link, master.failed = link, False
            await self._subscribe(link, master.channels)
            yield link
        finally:
            master.link = None
            await link.aclose()

    async def _listen(self, master: MasterState, link: Link) -> None:
        while True:
            try:
                received = await link.receive(RECEIVE_TIMEOUT)
            except SlotMoved as moved:
                if any(moved.affects(probe) for probe in link.probes):
                    raise
                for name in [name for name in master.channels if moved.affects(name)]:
                    master.channels.discard(name)
                    if name in self._assigned:
                        self._assigned[name] = None
                self._reassign.set()
            else:
                if received is not None:
                    await self._queue.put(received)
            if self._probe_timeout is not None and not link.probes and self._cluster.hash_tag(master.node):
                return  # Its master had no slot when it was opened, so it has no probe: open it again with one.


def _by_master(pairs: Iterable[tuple[MasterState | None, str]]) -> list[tuple[MasterState, list[str]]]:
    """The names of each master; those without a master are left out."""
    found = defaultdict[MasterState, list[str]](list)
    for master, name in pairs:
        if master is not None:
            found[master].append(name)
    return list(found.items())
