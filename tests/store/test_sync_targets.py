import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.errors import RedisUnavailable
from server.redis.client import RedisClient, Use
from server.store.sync_targets import Targets, TargetState
from tests.rig.default_keys import KEYS
from tests.rig.redis import RedisServer
from tests.rig.stored_site import about
from tests.rig.sync_time_travel import elapse_at_target

TARGET = "box-office"


@pytest.fixture
def targets(store: RedisClient) -> Targets:
    return Targets(store)


# -- states --


async def test_unknown_target(targets: Targets) -> None:
    """Of a target of which nothing is stored nothing is known: it is neither paused nor waiting."""
    assert TargetState() == await targets.read(TARGET)


async def test_state_is_read_as_written(anywhere: RedisClient) -> None:
    """Answers, faults, waits, pauses and the digest of a target are read as they were written, by any process."""
    targets = Targets(anywhere)
    await targets.answered(TARGET, 1_790_000_000.123456, 0.038)
    assert 1 == await targets.failed(TARGET, '503: 🎫 "closed" \'til later', 1_790_000_001.5)
    assert 2 == await targets.failed(TARGET, "504", 1_790_000_002.25)
    await targets.wait(TARGET, 1_790_000_010.75)
    await targets.pause(TARGET, "a rehearsal", 1_790_000_003.0)
    await targets.set_digest(TARGET, "abc")

    assert await Targets(anywhere).read(TARGET) == TargetState(
        paused="a rehearsal",
        paused_at=1_790_000_003.0,
        wait_until=1_790_000_010.75,
        faults=2,
        error="504",
        error_at=1_790_000_002.25,
        answered_at=1_790_000_000.123456,
        latency=0.038,
        digest="abc",
    )
    assert TargetState() == await targets.read("till")


async def test_good_answer_ends_the_faults(targets: Targets) -> None:
    """After a good answer the next fault is the first in a row again; a wait that is named meanwhile lasts to its end."""
    await targets.failed(TARGET, "503", 1.0)
    await targets.failed(TARGET, "429", 2.0)
    await targets.wait(TARGET, 600.0)

    await targets.answered(TARGET, 3.0, 0.5)

    state = await targets.read(TARGET)
    assert (0, 3.0, 0.5, 600.0) == (state.faults, state.answered_at, state.latency, state.wait_until)
    assert 1 == await targets.failed(TARGET, "503", 4.0)


async def test_person_pauses_and_resumes(targets: Targets) -> None:
    """A pause lasts until a person ends it, which ends waits after faults too; it needs no reason."""
    await targets.answered(TARGET, 1.0, 0.5)
    await targets.failed(TARGET, "503", 2.0)
    await targets.wait(TARGET, 600.0)
    await targets.pause(TARGET, "", 3.0)
    assert ("", 3.0) == ((await targets.read(TARGET)).paused, (await targets.read(TARGET)).paused_at)

    await targets.resume(TARGET)

    assert TargetState(answered_at=1.0, latency=0.5) == await targets.read(TARGET)


async def test_half_an_emoji(targets: Targets) -> None:
    """A text of the target that was cut inside an emoji is stored with a replacement for it."""
    await targets.failed(TARGET, "no \ud83c", 1.0)
    await targets.pause(TARGET, "why \udfab", 1.0)

    state = await targets.read(TARGET)
    assert ("no \N{REPLACEMENT CHARACTER}", "why \N{REPLACEMENT CHARACTER}") == (state.error, state.paused)


async def test_without_redis(redis_server: Callable[..., RedisServer]) -> None:
    """Without Redis nothing is known of a target, and nothing may be sent to it."""
    server = redis_server()
    async with aclosing(RedisClient(server.url, Use.WORK)) as store:
        server.kill()

        with pytest.raises(RedisUnavailable):
            await Targets(store).read(TARGET)
        with pytest.raises(RedisUnavailable):
            await Targets(store).pay(TARGET, 60)


# -- the budget --


async def waits(targets: Targets, count: int, rate: int) -> list[float]:
    """Pay for so many requests; answers how long each has to wait."""
    return [await targets.pay(TARGET, rate) for _ in range(count)]


async def test_a_fifth_at_once_and_then_evenly(anywhere: RedisClient) -> None:
    """A fifth of a minute's requests may be sent at once, the others in equal distances."""
    found = await waits(Targets(anywhere), 65, 300)

    assert [0.0] * 60 == found[:60]
    assert [about(0.2 * n) for n in range(1, 6)] == found[60:]
    assert found[60:] == sorted(found[60:])


@pytest.mark.parametrize(("rate", "expected"), [(1, [0, 60, 120]), (4, [0, 15, 30]), (5, [0, 12, 24]), (10, [0, 0, 6])])
async def test_small_budgets(targets: Targets, rate: int, expected: list[float]) -> None:
    """A budget of few requests a minute allows the first at once, and keeps its distances for more than a minute."""
    assert [about(one) for one in expected] == await waits(targets, 3, rate)


async def test_unused_budget_does_not_grow(store: RedisClient, targets: Targets) -> None:
    """After a long time without requests no more than a fifth of a minute's may be sent at once."""
    await waits(targets, 60, 300)
    await elapse_at_target(store, TARGET, 110)

    assert 60 == (await waits(targets, 65, 300)).count(0.0)


async def test_long_queue_is_kept(store: RedisClient, targets: Targets) -> None:
    """However long the queue, nobody who pays later sends before or with one who paid before."""
    found = []
    for passed in range(0, 200, 10):
        found += [passed + one for one in await waits(targets, 3, 5)]
        await elapse_at_target(store, TARGET, 10)

    assert [about(12 * n) for n in range(len(found))] == found


async def test_clock_that_was_set_back(store: RedisClient, targets: Targets) -> None:
    """After Redis's clock was set back a day, a request waits as long as it would have, and the next ones after it."""
    await waits(targets, 12, 60)
    assert [about(1), about(2)] == await waits(targets, 2, 60)
    await elapse_at_target(store, TARGET, -86_400)

    assert [about(3), about(4)] == await waits(targets, 2, 60)


async def test_budget_that_is_changed(targets: Targets) -> None:
    """A budget that is made larger or smaller counts what was paid for before."""
    await waits(targets, 12, 60)

    assert [about(0.1), about(0.2)] == await waits(targets, 2, 600)
    assert [about(60)] == await waits(targets, 1, 1)


async def test_budgets_are_apart(targets: Targets, redis_url: str) -> None:
    """Each target has a budget of its own, and so has each deployment."""
    await waits(targets, 3, 1)

    assert 0.0 == await targets.pay("till", 1)
    async with aclosing(RedisClient(redis_url, Use.WORK, "shop")) as shop:
        assert 0.0 == await Targets(shop).pay(TARGET, 1)


async def test_budget_ends(store: RedisClient, targets: Targets) -> None:
    """What was paid for is forgotten two minutes after it was sent, when it does not count any more."""
    await waits(targets, 3, 1)
    ttl = await store.do("TTL", KEYS.target(TARGET, "budget"))

    assert 235 < ttl <= 240


async def paying(url: str, rate: int, pauses: Sequence[float]) -> list[float]:
    """Pay for two minutes with these pauses between; answers when requests were sent, in the order of payment."""
    async with aclosing(RedisClient(url, Use.WORK)) as store:
        began, passed, sent = time.monotonic(), 0.0, []
        for pause in itertools.cycle(pauses):
            wait = await Targets(store).pay(TARGET, rate)
            sent.append(time.monotonic() - began + passed + wait)
            passed += pause
            if pause:
                await elapse_at_target(store, TARGET, pause)
            if sent[-1] > 120:
                return sent
    return []


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from([1, 3, 5, 12, 60, 150]),
    st.lists(st.sampled_from([0.0, 0.0, 0.05, 1.0, 13.0]), min_size=1, max_size=12),
)
def test_never_more_than_six_fifths_in_a_minute(redis_shared: RedisServer, rate: int, pauses: list[float]) -> None:
    """Whenever requests are paid for, no minute has more than six fifths of the budget, and who pays first sends first."""
    redis_shared.ask("FLUSHALL")

    sent = asyncio.run(paying(redis_shared.url, rate, pauses))

    # Times are measured here and not in Redis: to a few hundredths of a second.
    assert max(sum(0 <= other - one < 59.8 for other in sent) for one in sent) <= max(1, rate * 6 // 5)
    assert all(later - earlier > -0.1 for earlier, later in itertools.pairwise(sent))


async def test_worker_says_that_it_serves_a_target(targets: Targets) -> None:
    """When a worker last said that it brings tickets there, and with which settings, is known to all."""
    assert ("", 0.0) == ((state := await targets.read(TARGET)).served_digest, state.served_at)

    await targets.served(TARGET, "abc", 7.5)

    assert ("abc", 7.5) == ((state := await targets.read(TARGET)).served_digest, state.served_at)


async def test_lost_memory_is_noticed_once_for_each_target(targets: Targets) -> None:
    """A Redis that knows nothing of sync has lost it for every target there is, until each was looked after; a new target is not lost."""
    assert await targets.lost(TARGET, [TARGET, "till"], 1.0)
    assert await targets.lost(TARGET, [TARGET, "till"], 2.0)
    await targets.found(TARGET)

    assert not await targets.lost(TARGET, [TARGET, "till", "new"], 3.0)
    assert await targets.lost("till", [TARGET, "till", "new"], 3.0)
    assert not await targets.lost("new", [TARGET, "till", "new"], 3.0)
