"""What a reply means for the server that gave it: a relay or a push service is paused, probed, waited for, or goes on.

In: replies of one channel. Out: whether a message may be sent to a server now. Ten faults of a server in a row pause it, and a
refusal that would meet all others too pauses it at once; then one worker at a time tries one message, at growing intervals, and a
good reply ends the pause. A recipient's fault never counts. Every method raises RedisUnavailable.
"""

from collections.abc import Callable, Collection
from enum import Enum, auto

from server import logs, metrics
from server.notify.channels.channel import Reply, Result
from server.store.channel_servers import ChannelServers, ServerState

LONGEST_NAMED = 3600.0
"""Seconds that a Retry-After may have a server wait."""
SOON = 1.0
"""Seconds until the next look at a server that is being probed."""

log = logs.logger("notify")


class Permit(Enum):
    """Whether a message may be sent to a server now."""

    FREE = auto()
    PROBE = auto()  # the server is paused, and this message tries whether it still refuses
    HELD = auto()


class Breaker:
    """The servers of all channels. *clock* gives seconds since 1970, by Redis's clock."""

    def __init__(self, servers: ChannelServers, *, clock: Callable[[], float]) -> None:
        self.servers = servers
        self._clock = clock

    async def permit(self, server: str) -> Permit:
        """Ask just before a message is claimed: an answer PROBE is given to one worker, for one message."""
        state = await self.servers.state(server)
        if state.held_for(self._clock()) > 0:
            return Permit.HELD
        if state.paused_reason is None:
            return Permit.FREE
        return Permit.PROBE if await self.servers.probe(server) else Permit.HELD

    async def held_for(self, server: str) -> float:
        """Seconds for which nothing may be sent to a server; 0 where something may, were it only a probe."""
        return (await self.servers.state(server)).held_for(self._clock())

    async def next_try(self, servers: Collection[str]) -> float:
        """Seconds until something may be sent to one of these again, at least `SOON`."""
        return max(SOON, min([await self.held_for(server) for server in servers], default=0.0))

    async def cause(self, servers: Collection[str]) -> str:
        """Why these servers are paused, and what helps; empty where none is."""
        causes = []
        for server in sorted(servers):
            state = await self.servers.state(server)
            if state.paused_reason is not None:
                causes.append(". ".join(part for part in (f"{server}: {state.paused_reason}", state.cure) if part))
            elif state.wait_until > self._clock():
                causes.append(f"{server}: it asked us to wait")
        return "; ".join(causes)

    async def heard(self, reply: Reply) -> ServerState:
        """A server replied, or did not where it should have; answers what is known of it then."""
        before = await self.servers.state(reply.server)
        if reply.retry_after is not None:
            await self.servers.wait(reply.server, self._clock() + min(reply.retry_after, LONGEST_NAMED))
        if reply.result in {Result.SERVER_FAULT, Result.UNKNOWN}:
            # A server that takes messages and never says so would make every recipient unknown: that is a fault of it too.
            state = await self.servers.failed(reply.server, reply.reason, reply.cure, pause_now=reply.pause)
            if before.paused_reason is None and state.paused_reason is not None:
                metrics.notify_pauses.labels(_kind(reply.server)).inc()
                log.warning("channel_paused", server=reply.server, reason=reply.reason, hint=reply.cure)
            return state
        if before.faults or before.paused_reason is not None:
            await self.servers.answered(reply.server)
            if before.paused_reason is not None:
                log.info("channel_paused_no_more", server=reply.server)
        return ServerState()


def _kind(server: str) -> str:
    """`mail` or `push`: the label of a metric, which has to have few values."""
    return server.partition(" ")[0]
