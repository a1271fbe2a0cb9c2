import asyncio
import time
from dataclasses import replace

import pytest

from server.redis.client import RedisClient
from server.store.channel_servers import (
    BURST,
    FIRST_PROBE,
    LONGEST_PROBE,
    MOST_FAULTS,
    PROBE_LASTS,
    ChannelServers,
    ServerState,
)
from tests.rig.default_keys import KEYS
from tests.rig.stored_site import about

PUSH = "push 127.0.0.1:8443"


@pytest.fixture
def servers(store: RedisClient) -> ChannelServers:
    return ChannelServers(store)


async def elapse(store: RedisClient, server: str, seconds: float) -> None:
    """Let so many seconds pass for a server's pause, and for the pace of a channel."""
    for kind, names, unit in (
        ("state", ("paused_at", "next_probe", "probing_until", "wait_until"), 1.0),
        ("pace", ("at", "paid_at"), 1e6),
    ):
        name = KEYS.server(server, kind)
        for field in names:
            if (at := await store.do("HGET", name, field)) is not None:
                await store.do("HSET", name, field, f"{float(at) - seconds * unit:.6f}")


async def fails(servers: ChannelServers, times: int = 1, server: str = "mail", *, now: bool = False) -> ServerState:
    """The server's state after so many faults."""
    for _ in range(times):
        found = await servers.failed(server, "550 5.7.1 at MAIL", "allow the sender", pause_now=now)
    return found


# -- the pace --


async def sent(redis: RedisClient, count: int, rate: float) -> list[float]:
    """When each of so many messages that are paid for at once is sent, in seconds from the first question on, at most."""
    began = time.monotonic()

    async def pay() -> float:
        wait = await ChannelServers(redis).pay("mail", rate)
        return time.monotonic() - began + wait

    return sorted(await asyncio.gather(*(pay() for _ in range(count))))


async def test_pace_is_kept_by_all_workers(anywhere: RedisClient) -> None:
    """However many workers pay at once, a quarter of a second's messages may go at once, and the others in equal distances."""
    found = await sent(anywhere, 80, 20)

    assert all(at >= (n - 20 * BURST) / 20 for n, at in enumerate(found))
    assert 75 / 20 == pytest.approx(found[-1], abs=1)
    assert found[4] < 1


async def test_pace_that_was_not_used_does_not_grow(store: RedisClient) -> None:
    """After a time without messages no more go at once than before."""
    await sent(store, 20, 20)
    await elapse(store, "mail", 30)

    assert all(at >= (n - 20 * BURST) / 20 for n, at in enumerate(await sent(store, 80, 20)))


async def test_slow_pace(servers: ChannelServers) -> None:
    """A pace of less than one message a second is kept too, and each channel has its own."""
    assert [about(0), about(10), about(20)] == [await servers.pay("mail", 0.1) for _ in range(3)]
    assert 0.0 == await servers.pay("push", 0.1)


async def test_pace_after_the_clock_was_set_back(store: RedisClient, servers: ChannelServers) -> None:
    """After Redis's clock was set back a day a message waits no longer than it would have."""
    for _ in range(2):
        await servers.pay("mail", 1)
    await elapse(store, "mail", -86_400)

    assert about(2) == await servers.pay("mail", 1)


# -- faults and pauses --


async def test_unknown_server(servers: ChannelServers) -> None:
    """Of a server of which nothing is stored nothing is known, and anyone may try it."""
    assert ServerState() == await servers.state("mail")
    assert await servers.probe("mail")
    await servers.answered("mail")
    assert {} == await servers.all()


async def test_ten_faults_in_a_row_pause_a_server(anywhere: RedisClient) -> None:
    """Ten faults in a row pause a server, and only it; an answer between them begins the row anew."""
    servers = ChannelServers(anywhere)
    await fails(servers, MOST_FAULTS - 1, PUSH)
    await servers.answered(PUSH)
    assert ServerState(faults=MOST_FAULTS - 1) == await fails(servers, MOST_FAULTS - 1, PUSH)

    found = await fails(servers, 1, PUSH)

    assert (MOST_FAULTS, "550 5.7.1 at MAIL", "allow the sender") == (found.faults, found.paused_reason, found.cure)
    assert found.paused_at == pytest.approx(time.time(), abs=5)
    assert FIRST_PROBE == pytest.approx((found.next_probe or 0) - (found.paused_at or 0), abs=0.001)
    assert {PUSH: found} == await servers.all()
    assert ServerState() == await servers.state("mail")


async def test_refusal_of_all_pauses_at_once(servers: ChannelServers) -> None:
    """A server that will refuse all others too is paused at once, until it answers."""
    assert (await fails(servers, now=True)).paused_reason == "550 5.7.1 at MAIL"

    await servers.answered("mail")

    assert ServerState() == await servers.state("mail")


async def test_one_worker_probes(store: RedisClient, servers: ChannelServers) -> None:
    """No one tries a paused server before the probe is due, then one does, and another after that one was silent for too long."""
    await fails(servers, now=True)
    assert not await servers.probe("mail")
    await elapse(store, "mail", FIRST_PROBE)

    assert 1 == sum(await asyncio.gather(*(servers.probe("mail") for _ in range(20))))
    await elapse(store, "mail", PROBE_LASTS - 1)
    assert not await servers.probe("mail")
    await elapse(store, "mail", 1.1)
    assert 1 == sum(await asyncio.gather(*(servers.probe("mail") for _ in range(20))))

    await servers.answered("mail")
    assert [True, True] == [await servers.probe("mail") for _ in range(2)]


async def test_probes_become_rare(store: RedisClient, servers: ChannelServers) -> None:
    """After each probe that fails the next is later, up to five minutes; faults of what was on its way change nothing."""
    await fails(servers, now=True)
    waits = []
    for _ in range(8):
        await elapse(store, "mail", LONGEST_PROBE)
        assert await servers.probe("mail")
        found = await fails(servers, 5)
        waits.append(round((found.next_probe or 0) - time.time()))

    assert [20, 40, 80, 160, 300, 300, 300, 300] == waits


async def test_person_resumes_a_server(servers: ChannelServers) -> None:
    """A person ends a pause and a wait."""
    await fails(servers, MOST_FAULTS)
    await servers.wait("mail", time.time() + 600)

    await servers.resume("mail")

    assert ServerState() == await servers.state("mail")
    assert await servers.probe("mail")


async def test_server_asks_to_wait(servers: ChannelServers) -> None:
    """How long a server asked us to wait is kept beside its faults, also when it answers another message."""
    until = 1_900_000_000.5
    await servers.wait(PUSH, until)
    await fails(servers, 2, PUSH)
    assert ServerState(faults=2, wait_until=until) == await servers.state(PUSH)
    await servers.answered(PUSH)

    assert replace(ServerState(), wait_until=until) == await servers.state(PUSH)
    assert {PUSH: ServerState(wait_until=until)} == await servers.all()

    await servers.redis.do("DEL", KEYS.server(PUSH, "state"))
    assert {} == await servers.all()
    assert 0 == await servers.redis.do("SCARD", KEYS.servers)


async def test_half_an_emoji_in_a_reason(servers: ChannelServers) -> None:
    """A reason that was cut inside an emoji is stored with a replacement for it."""
    found = await servers.failed("mail", "no \ud83c", "ask \udfab", pause_now=True)

    assert ("no \N{REPLACEMENT CHARACTER}", "ask \N{REPLACEMENT CHARACTER}") == (found.paused_reason, found.cure)
