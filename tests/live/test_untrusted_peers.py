import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from typing import Any

from server.errors import RedisUnavailable
from server.live.untrusted_peers import CLIENTS, MOST_PEERS, UntrustedPeers
from server.redis.client import RedisClient, Use
from server.store.untrusted_peers import UntrustedPeersStore
from tests.rig.server import StartServer, until

HEADER = {"X-Forwarded-For": "203.0.113.1"}


class Notes:
    """What was noted, in place of Redis, which may be away."""

    def __init__(self, *, away: int = 0) -> None:
        self.added: list[set[str]] = []
        self.away = away

    def more_than(self, times: int) -> bool:
        """Whether something was noted more often than so."""
        return len(self.added) > times

    async def add(self, peers: Iterable[str]) -> None:
        """Note these, or fail."""
        if self.away:
            self.away -= 1
            raise RedisUnavailable("away")
        self.added.append(set(peers))


@asynccontextmanager
async def noting(peers: UntrustedPeers, notes: Any) -> AsyncIterator[None]:
    """Peers are noted meanwhile."""
    running = asyncio.create_task(peers.run(notes))
    yield
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_private_peer_is_noted_at_once() -> None:
    """A proxy's private address is noted at its first request, and not with each of the next ones."""
    peers, notes = UntrustedPeers(), Notes()

    async with noting(peers, notes):
        peers.saw("10.0.0.1", "203.0.113.1")
        await until(lambda: notes.added == [{"10.0.0.1"}])
        peers.saw("10.0.0.1", "203.0.113.2")
        peers.saw("fd00::1", "203.0.113.1")
        await until(lambda: len(notes.added) == 2)

    assert [{"10.0.0.1"}, {"10.0.0.1", "fd00::1"}] == notes.added


async def test_peer_that_goes_on_is_noted_again() -> None:
    """A peer that still sends the header is noted again after a while, so that it does not seem to be over."""
    peers, notes = UntrustedPeers(every=0.01), Notes()

    async with noting(peers, notes):
        for _ in range(2):
            known = len(notes.added)
            peers.saw("10.0.0.1", "203.0.113.1")
            await until(partial(notes.more_than, known))

    assert [{"10.0.0.1"}] * 2 == notes.added


async def test_redis_that_is_away() -> None:
    """What could not be noted while Redis was away is noted once it is back."""
    peers, notes = UntrustedPeers(every=0.01), Notes(away=2)

    async with noting(peers, notes):
        peers.saw("10.0.0.1", "203.0.113.1")
        await until(lambda: notes.added == [{"10.0.0.1"}])

    assert 0 == notes.away


async def test_public_peer_that_forwards_for_several() -> None:
    """Of public addresses only the network is noted, and only where it forwards for several clients, as no visitor does."""
    peers, notes = UntrustedPeers(), Notes()
    for number in range(10):
        peers.saw("8.8.4.4", "1.1.1.1")
        peers.saw(f"9.9.9.{number}", "1.1.1.1")
    for number in range(CLIENTS):
        peers.saw(f"8.8.8.{number}", f"1.1.1.{number}")
        peers.saw("2001:4860:4860::8888", f"1.1.1.{number}")

    async with noting(peers, notes):
        await until(lambda: bool(notes.added))

    assert [{"8.8.8.0/24", "2001:4860:4860::/48"}] == notes.added


async def test_memory_is_bounded() -> None:
    """However many peers send the header, a bounded number of them is remembered."""
    private, public, notes = UntrustedPeers(), UntrustedPeers(), Notes()
    for number in range(2 * MOST_PEERS):
        private.saw(f"10.0.0.{number}", "203.0.113.1")
        for client in range(CLIENTS):
            public.saw(f"8.8.{number}.8", f"1.1.1.{client}")

    async with noting(private, notes), noting(public, notes):
        await until(lambda: len(notes.added) == 2)

    assert [MOST_PEERS, MOST_PEERS] == [len(added) for added in notes.added]


async def test_request_through_a_missing_proxy(start_server: StartServer, redis_url: str) -> None:
    """A request through a proxy that TRUSTED_PROXIES lacks is noted in Redis; one through a trusted proxy, or none, is not."""
    missing = await start_server()
    trusted = await start_server(trusted_proxies=("127.0.0.1", "::1"), redis_prefix="trusted")
    async with (
        aclosing(RedisClient(redis_url, Use.WORK)) as redis,
        aclosing(RedisClient(redis_url, Use.WORK, "trusted")) as other,
    ):
        await missing.http.get("/v1/counters?ticket=x")
        await trusted.http.get("/v1/counters?ticket=x", headers=HEADER)
        await missing.http.get("/v1/counters?ticket=x", headers=HEADER)

        async def noted() -> bool:
            return ["127.0.0.1"] == list(await UntrustedPeersStore(redis).read())

        await until(noted)
        assert {} == await UntrustedPeersStore(other).read()
