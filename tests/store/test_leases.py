import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing

import pytest

from server.errors import LeaseLost, RedisUnavailable
from server.redis.client import RedisClient, Use
from server.store import leases as module
from server.store.leases import LASTS, REMEMBERED, Leases
from tests.rig.background import background
from tests.rig.default_keys import KEYS
from tests.rig.redis import RedisServer
from tests.rig.server import until
from tests.rig.sync_time_travel import elapse_at_target

TARGET = "box-office"
MARGIN = 1.0


async def waiting(store: RedisClient, target: str = TARGET) -> int:
    """How many wait for a lease."""
    return int(await store.do("ZCARD", KEYS.target(target, "lease_queue", "0")))


async def test_one_process_has_the_lease(anywhere: RedisClient) -> None:
    """Of many processes that write under one lease, no two ever do at the same time, and each gets its turns."""
    inside, most, turns = 0, 0, 0

    async def writes(leases: Leases, seed: int) -> None:
        nonlocal inside, most, turns
        chance = random.Random(seed)
        for _ in range(5):
            async with leases.held(TARGET) as lease:
                inside, turns = inside + 1, turns + 1
                most = max(most, inside)
                await asyncio.sleep(chance.random() * 0.01)
                await lease.extend()
                inside -= 1

    await asyncio.gather(*(writes(Leases(anywhere), seed) for seed in range(6)))

    assert (1, 30) == (most, turns)
    assert 0 == await waiting(anywhere)


async def test_each_gets_it_in_the_order_of_asking(anywhere: RedisClient) -> None:
    """Those who wait get the lease in the order in which they asked first, however often each has asked since."""
    holder, *others = (Leases(anywhere).lease(TARGET) for _ in range(5))
    assert await holder.take()
    for one in (*others, *reversed(others)):
        assert not await one.take()
    await holder.release()

    for turn, first in enumerate(others):
        for one in reversed(others[turn + 1 :]):
            assert not await one.take()
        assert await first.take()
        await first.release()


async def test_who_comes_back_asks_behind_the_others(store: RedisClient) -> None:
    """Who gives the lease back and wants it again gets it after those who waited."""
    first, second = (Leases(store).lease(TARGET) for _ in range(2))
    assert await first.take()
    assert not await second.take()
    await first.release()

    assert not await first.take()
    assert await second.take()


async def test_who_died_while_waiting_blocks_nobody(store: RedisClient) -> None:
    """Who has not asked again for REMEMBERED seconds has lost its place, and only then."""
    holder, dead, next_one = (Leases(store).lease(TARGET) for _ in range(3))
    assert await holder.take()
    assert not await dead.take()
    await holder.release()
    assert not await next_one.take()

    await elapse_at_target(store, TARGET, REMEMBERED - MARGIN)
    assert not await next_one.take()
    await elapse_at_target(store, TARGET, MARGIN)

    assert await next_one.take()
    assert not await dead.take()
    assert 1 == await waiting(store)


async def test_nobody_left_leaves_no_queue(store: RedisClient) -> None:
    """The queue of a lease for which nobody waits any more is gone, even if those who waited died."""
    holder, dead = (Leases(store).lease(TARGET) for _ in range(2))
    assert await holder.take()
    assert not await dead.take()

    await elapse_at_target(store, TARGET, REMEMBERED + MARGIN)

    assert 0 == await store.do("EXISTS", KEYS.target(TARGET, "lease_queue", "0"))


async def test_lease_of_a_dead_process_ends_by_itself(store: RedisClient) -> None:
    """The lease of a process that died is another's after LASTS seconds, and not before."""
    dead, other = (Leases(store).lease(TARGET) for _ in range(2))
    assert await dead.take()

    await elapse_at_target(store, TARGET, LASTS - MARGIN)
    assert not await other.take()
    await elapse_at_target(store, TARGET, MARGIN)

    assert await other.take()
    with pytest.raises(LeaseLost, match="another process"):
        await dead.extend()


async def test_extended_lease_lasts_from_then(store: RedisClient) -> None:
    """A lease lasts LASTS seconds from when it was extended last; one that has ended cannot be extended."""
    lease, other = (Leases(store).lease(TARGET) for _ in range(2))
    assert await lease.take()
    for _ in range(3):
        await elapse_at_target(store, TARGET, LASTS - MARGIN)
        await lease.extend()
    await elapse_at_target(store, TARGET, LASTS - MARGIN)
    assert not await other.try_take()
    await elapse_at_target(store, TARGET, MARGIN)

    with pytest.raises(LeaseLost):
        await lease.extend()
    assert await other.try_take()


async def test_extension_that_is_answered_late_is_none(
    redis_server: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that took a third of the lease's time is not believed: another process may have the lease before the write."""
    monkeypatch.setattr(module, "LASTS", 1.5)
    server = redis_server()
    async with aclosing(RedisClient(server.url, Use.WORK)) as store:
        lease = Leases(store).lease(TARGET)
        assert await lease.take()
        await lease.extend()
        server.freeze()
        extension = asyncio.ensure_future(lease.extend())
        await asyncio.sleep(0.7)
        server.thaw()

        with pytest.raises(LeaseLost):
            await extension


async def test_lost_answer(store: RedisClient) -> None:
    """Who has the lease without knowing it, since the answer was lost, gets it by asking again."""
    lease = Leases(store).lease(TARGET)
    assert await lease.take()
    await elapse_at_target(store, TARGET, LASTS - MARGIN)

    assert await lease.take()
    assert await lease.try_take()

    await elapse_at_target(store, TARGET, LASTS - MARGIN)
    await lease.extend()
    assert 0 == await waiting(store)


async def test_only_the_holder_gives_it_back(store: RedisClient) -> None:
    """A lease is not given back by one who waits for it, or has had it before; who waits no longer gives up its place."""
    holder, gone, other = (Leases(store).lease(TARGET) for _ in range(3))
    assert await holder.take()
    assert not await gone.take()
    assert not await other.take()

    await gone.release()
    assert not await other.take()
    await holder.release()
    assert await other.take()
    await holder.release()

    await other.extend()


async def test_try_takes_no_place(store: RedisClient) -> None:
    """Who only tries gets the lease if it is free and nobody waits, and is in nobody's way afterwards."""
    holder, trier, waits = (Leases(store).lease(TARGET) for _ in range(3))
    assert await holder.try_take()
    assert not await trier.try_take()
    assert 0 == await waiting(store)
    assert not await waits.take()
    await holder.release()

    assert not await trier.try_take()
    assert await waits.take()
    await waits.release()
    assert await trier.try_take()


async def test_clock_that_was_set_back(store: RedisClient) -> None:
    """After Redis's clock was set back an hour, a process that died with the lease blocks it for LASTS seconds."""
    dead, other = (Leases(store).lease(TARGET) for _ in range(2))
    assert await dead.take()
    await elapse_at_target(store, TARGET, -3600)

    assert not await other.take()
    await elapse_at_target(store, TARGET, LASTS)

    assert await other.take()


async def test_queue_when_the_clock_was_set_back(store: RedisClient) -> None:
    """After Redis's clock was set back an hour, a process that died while it waited blocks nobody."""
    holder, dead, other = (Leases(store).lease(TARGET) for _ in range(3))
    assert await holder.take()
    assert not await dead.take()
    await elapse_at_target(store, TARGET, -3600)
    await holder.release()

    assert await other.take()


async def test_leases_are_apart(anywhere: RedisClient) -> None:
    """Each target has leases of its own, and so has each number of a target."""
    leases = Leases(anywhere)
    first = [leases.lease(TARGET), leases.lease(TARGET, 1), leases.lease(TARGET, "audit"), leases.lease("till")]
    second = [leases.lease(TARGET), leases.lease(TARGET, 1), leases.lease(TARGET, "audit"), leases.lease("till")]

    assert [True] * 4 == [await one.take() for one in first]
    assert [False] * 4 == [await one.take() for one in second]


async def test_deployments_are_apart(redis_url: str, store: RedisClient) -> None:
    """A deployment with another prefix has other leases."""
    async with aclosing(RedisClient(redis_url, Use.WORK, "shop")) as shop:
        assert await Leases(store).lease(TARGET).take()
        assert await Leases(shop).lease(TARGET).take()

        found = {str(one) for one in await store.do("KEYS", "*")}
        assert {f"{prefix}:{{sync:{TARGET}}}:lease:0" for prefix in ("tc", "shop")} == found


async def test_held_lease_is_given_back(store: RedisClient) -> None:
    """A block gives the lease back when it ends, by an error too, and one that is cancelled while it waits gives up its place."""
    leases = Leases(store)

    async def waits() -> None:
        async with leases.held(TARGET):
            pass

    async def fails() -> None:
        async with leases.held(TARGET):
            async with background(waits()):
                await until(lambda: waiting(store))
            assert 0 == await waiting(store)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails()

    assert await leases.lease(TARGET).try_take()


async def test_without_redis(redis_server: Callable[..., RedisServer]) -> None:
    """Without Redis a lease is neither taken nor extended, and who gives it back goes on: it ends by itself."""
    server = redis_server()
    async with aclosing(RedisClient(server.url, Use.WORK)) as store:
        lease = Leases(store).lease(TARGET)
        assert await lease.take()
        server.kill()

        with pytest.raises(RedisUnavailable):
            await lease.extend()
        await lease.release()
        with pytest.raises(RedisUnavailable):
            async with Leases(store).held(TARGET):
                pytest.fail("it was taken")
