import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from server.campaign import Campaign, ChannelName, Counts, Progress, RowState, Skip, State
from server.errors import LeaseLost
from server.redis.client import RedisClient
from server.store.campaigns import Campaigns
from server.store.outbox import MOST_ATTEMPTS, Claim, Outbox
from server.store.suppressions import Suppressions
from tests.rig.campaigns import SITE, campaign
from tests.rig.default_keys import key
from tests.rig.redis import RedisServer
from tests.rig.server import until


async def opened(store: RedisClient, **changes: Any) -> Campaign:
    """A campaign that is open."""
    found = await Campaigns(store).open(campaign(**changes))
    assert found is not None
    return found


async def holding(store: RedisClient, one: Campaign, worker: str = "one", **options: Any) -> Outbox:
    """The outbox of a worker that holds the lease."""
    outbox = Outbox(store, one, ChannelName.MAIL, worker, **options)
    assert await outbox.take()
    return outbox


async def after_a_loss(store: RedisClient, one: Campaign) -> Outbox:
    """The outbox of another worker, which takes the lease over at once, as if the first one's had ended."""
    await store.do("DEL", key(one.site, "notify", "lease", one.name, "mail"))
    return await holding(store, one, "two")


def progress(counts: Counts, **changes: Any) -> Progress:
    return replace(Progress(ChannelName.MAIL, State.GATHERING, counts), **changes)


async def counts(outbox: Outbox) -> Counts:
    return (await outbox.progress()).counts


async def test_row_is_claimed_once_and_marked(anywhere: RedisClient) -> None:
    """A row is claimed once, law 17, and is sent when its worker says so."""
    outbox = await holding(anywhere, await opened(anywhere))
    assert {"a", "b"} == await outbox.new(["a", "b"])

    assert Claim.CLAIMED == await outbox.claim("a", [])
    assert Claim.ENDED == await outbox.claim("a", [])
    assert Counts(candidates=1, claimed=1) == await counts(outbox)
    await outbox.mark("a", RowState.SENT)

    assert Claim.ENDED == await outbox.claim("a", [])
    assert {"b"} == await outbox.new(["a", "b"])
    assert Counts(candidates=1, sent=1) == await counts(outbox)


async def test_two_workers_never_both_claim_a_row(store: RedisClient) -> None:
    """Of workers that claim the same rows at the same time no two get one, law 17, and one of them only has the lease."""
    one = await opened(store)
    workers = [Outbox(store, one, ChannelName.MAIL, name) for name in ("one", "two", "three")]
    assert 1 == sum(await asyncio.gather(*(worker.take() for worker in workers)))

    rows = [f"row-{n}" for n in range(15)]
    claims = await asyncio.gather(*(worker.claim(row, []) for row in rows for worker in workers for _ in range(2)))

    assert 15 == claims.count(Claim.CLAIMED)
    assert 15 == claims.count(Claim.ENDED)
    assert 60 == claims.count(Claim.LEASE_LOST)


async def test_taking_over_makes_claims_unknown(anywhere: RedisClient) -> None:
    """Whoever takes a lease over marks in the same step as unknown what another has claimed; its late reply still counts, law 17."""
    one = await opened(anywhere)
    first = await holding(anywhere, one)
    for row in ("a", "b", "c"):
        await first.claim(row, [])
    await first.mark("c", RowState.SENT)

    second = await after_a_loss(anywhere, one)

    assert Counts(candidates=3, sent=1, unknown=2) == await counts(second)
    assert ["a", "b"] == await second.unknown()
    assert ["a"] == await second.unknown(1)
    assert Claim.ENDED == await second.claim("a", [])
    assert Claim.LEASE_LOST == await first.claim("d", [])
    with pytest.raises(LeaseLost):
        await first.extend()

    await first.mark("a", RowState.WAITING)
    assert Counts(candidates=3, sent=1, unknown=2) == await counts(second)
    await first.mark("a", RowState.SENT)
    await first.mark("b", RowState.FAILED, "5.1.1")
    await second.mark("b", RowState.SENT)
    assert Counts(candidates=3, sent=2, failed=1) == await counts(second)
    assert [] == await second.unknown()


async def test_lease_ends_by_itself(store: RedisClient) -> None:
    """A worker that does not extend its lease loses it, by Redis's clock; one that does keeps it."""
    one = await opened(store)
    first = await holding(store, one, lease=0.3)
    second = Outbox(store, one, ChannelName.MAIL, "two", lease=0.3)
    await first.claim("a", [])
    for _ in range(4):
        await asyncio.sleep(0.1)
        await first.extend()
        assert not await second.take()

    await until(second.take)
    assert Counts(candidates=1, unknown=1) == await counts(second)


async def test_lease_that_is_given_back(store: RedisClient) -> None:
    """A lease that is given back is free at once, and what its worker had in flight is unknown."""
    one = await opened(store)
    first = await holding(store, one)
    second = Outbox(store, one, ChannelName.MAIL, "two")
    await first.claim("a", [])
    await second.release()
    assert not await second.take()

    await first.release()

    assert ["a"] == await first.unknown()
    assert await second.take()
    assert await second.take()
    await first.mark("a", RowState.SENT)
    assert Counts(candidates=1, sent=1) == await counts(second)


async def test_waiting_row_is_tried_again(anywhere: RedisClient) -> None:
    """A row that waits is claimed again when it is due, and not before."""
    outbox = await holding(anywhere, await opened(anywhere))
    soon = time.time() + 3600
    for row in ("a", "b"):
        await outbox.claim(row, [])
    await outbox.mark("a", RowState.WAITING, "4.2.1", next_try=soon)
    await outbox.mark("b", RowState.WAITING, "4.2.1")

    assert {"a": pytest.approx(soon), "b": pytest.approx(time.time(), abs=5)} == await outbox.waiting()
    assert {"b"} == await outbox.new(["a", "b"])
    found = await outbox.progress()
    assert (Counts(candidates=2, waiting=2), {(RowState.WAITING, "4.2.1"): 2}) == (found.counts, found.reasons)
    assert found.next_try == pytest.approx(time.time(), abs=5)
    assert Claim.NOT_YET == await outbox.claim("a", [])
    assert Claim.CLAIMED == await outbox.claim("b", [])
    assert Counts(candidates=2, waiting=1, claimed=1) == await counts(outbox)


async def test_after_five_attempts_a_row_is_failed(store: RedisClient) -> None:
    """A row is failed after so many attempts, of which those do not count for which the server was at fault."""
    outbox = await holding(store, await opened(store))
    for _ in range(10):
        assert Claim.CLAIMED == await outbox.claim("a", [])
        await outbox.mark("a", RowState.WAITING, "connection refused", counts=False)
    assert 0 == await outbox.attempts("a") == await outbox.attempts("none")
    for _ in range(MOST_ATTEMPTS):
        assert Claim.CLAIMED == await outbox.claim("a", [])
        await outbox.mark("a", RowState.WAITING, "4.2.1")
    assert MOST_ATTEMPTS == await outbox.attempts("a")

    assert Claim.ENDED == await outbox.claim("a", [])
    found = await outbox.progress()
    assert (Counts(candidates=1, failed=1), {(RowState.FAILED, "4.2.1"): 1}) == (found.counts, found.reasons)


async def test_whoever_opted_out_gets_nothing(anywhere: RedisClient) -> None:
    """An opt-out that is stored before the claim wins, under whichever key it was hashed, and is then found under each."""
    outbox = await holding(anywhere, await opened(anywhere))
    await Suppressions(anywhere).add(SITE, ["old.hash"], "opted out")

    assert Claim.SUPPRESSED == await outbox.claim("a", ["new.hash", "old.hash"])
    assert Claim.CLAIMED == await outbox.claim("b", ["new.other", "old.other"])

    assert await Suppressions(anywhere).has(SITE, ["new.hash"])
    assert {"new", "old"} == await Suppressions(anywhere).key_ids(SITE)
    found = await outbox.progress()
    assert {(RowState.SKIPPED, "suppressed"): 1} == found.reasons
    assert Counts(candidates=2, claimed=1, skipped=1) == found.counts


async def test_nothing_is_claimed_after_the_deadline(store: RedisClient) -> None:
    """After the deadline, by Redis's clock, nothing is claimed."""
    one = await opened(store, deadline=time.time() + 0.5)
    outbox = await holding(store, one)
    assert Claim.CLAIMED == await outbox.claim("a", [])

    async def over() -> bool:
        return await outbox.claim(f"row-{time.monotonic()}", []) == Claim.TOO_LATE

    await until(over)
    assert time.time() >= one.deadline
    await outbox.mark("a", RowState.SENT)
    assert 1 == (await counts(outbox)).sent


async def test_nothing_is_claimed_once_it_is_stopped(store: RedisClient) -> None:
    """Once a campaign is stopped nothing of it is claimed, until it goes on; nor of one that there is not."""
    one = await opened(store)
    outbox = await holding(store, one)
    assert await Campaigns(store).stop(SITE, one.name, "Ada")
    assert Claim.STOPPED == await outbox.claim("a", [])
    assert await outbox.finish(State.STOPPED, "by Ada")

    assert await Campaigns(store).go_on(SITE, one.name)
    found = await outbox.progress()
    assert (State.GATHERING, "", None) == (found.state, found.note, found.ended_at)
    assert Claim.CLAIMED == await outbox.claim("a", [])

    other = await holding(store, campaign(name="other"))
    assert Claim.STOPPED == await other.claim("a", [])


async def test_skipped_rows(store: RedisClient) -> None:
    """A recipient who is new or waits can be skipped; one whose message may be out cannot."""
    outbox = await holding(store, await opened(store))
    for row in ("a", "b"):
        await outbox.claim(row, [])
    await outbox.mark("a", RowState.WAITING, "4.2.1")

    for row in ("a", "b", "c", "c"):
        await outbox.skip(row, Skip.DELIVERY_OFF)

    found = await outbox.progress()
    assert Counts(candidates=3, claimed=1, skipped=2) == found.counts
    assert {(RowState.SKIPPED, "delivery off"): 2} == found.reasons
    assert {} == await outbox.waiting()


async def test_done_only_when_all_rows_have_an_end(store: RedisClient) -> None:
    """A campaign is done when candidates = sent + failed + skipped + unknown, and not while one is claimed or waits."""
    outbox = await holding(store, await opened(store))
    for row in ("a", "b", "c"):
        await outbox.claim(row, [])
    assert not await outbox.finish(State.DONE)
    await outbox.mark("a", RowState.SENT)
    await outbox.mark("b", RowState.UNKNOWN, "no reply")
    await outbox.mark("c", RowState.WAITING, "4.2.1")
    assert not await outbox.finish(State.DONE)
    assert State.SENDING == (await outbox.progress()).state
    await outbox.skip("c", Skip.OPTED_OUT)

    assert await outbox.finish(State.DONE, "well")

    found = await outbox.progress()
    assert (State.DONE, "well") == (found.state, found.note)
    assert found.ended_at == pytest.approx(time.time(), abs=5)
    assert 3 == found.counts.ended == found.counts.candidates


async def test_a_count_that_is_wrong_is_noticed(store: RedisClient) -> None:
    """A row that no count knows of keeps its campaign from being done: candidates are the rows themselves."""
    one = await opened(store)
    outbox = await holding(store, one)
    await outbox.skip("a", Skip.DELIVERY_OFF)
    await store.do("HSET", key(SITE, "notify", "rows", one.name, "mail"), "b", "sent 1 0 one 0 ")

    assert not await outbox.finish(State.DONE)


async def test_notes_of_a_run(store: RedisClient) -> None:
    """How far a campaign is is read as it was noted, by the worker that has the lease only."""
    one = await opened(store)
    first = await holding(store, one)
    assert progress(Counts()) == await first.progress()
    await first.note(State.GATHERING, total=5028, passes=1)
    await first.note(State.SENDING, "no \ud83c", passes=2)
    await first.claim("a", [])

    found = await first.progress()
    assert (State.SENDING, "no \N{REPLACEMENT CHARACTER}", 5028, 2) == (
        found.state,
        found.note,
        found.total,
        found.passes,
    )
    assert found.started_at == pytest.approx(time.time(), abs=5)

    second = await after_a_loss(store, one)
    with pytest.raises(LeaseLost):
        await first.note(State.PAUSED)
    with pytest.raises(LeaseLost):
        await first.finish(State.TOO_LATE)
    assert State.SENDING == (await second.progress()).state
    assert await second.finish(State.TOO_LATE, "no worker")
    assert State.TOO_LATE == (await first.progress()).state
    await second.note(State.SENDING)
    assert (await first.progress()).ended_at is None


async def test_channels_are_apart(store: RedisClient) -> None:
    """Each channel of a campaign has a lease, rows and counts of its own."""
    one = await opened(store)
    mail = await holding(store, one)
    push = Outbox(store, one, ChannelName.PUSH, "two")
    assert await push.take()

    assert [Claim.CLAIMED] * 2 == [await mail.claim("a", []), await push.claim("a", [])]
    assert [1, 1] == [(await counts(one_)).claimed for one_ in (mail, push)]


async def test_nothing_in_a_page_of_none(store: RedisClient) -> None:
    """Of no rows none may be claimed."""
    assert set() == await (await holding(store, await opened(store))).new([])


async def test_odd_reasons(store: RedisClient) -> None:
    """A reason may have spaces, colons and lines; it is cut, and counted as what it was cut to."""
    outbox = await holding(store, await opened(store))
    await outbox.claim("a", [])
    await outbox.mark("a", RowState.UNKNOWN, "a: b\nc " + "x" * 1000)

    assert {(RowState.UNKNOWN, "a: b\nc " + "x" * 193): 1} == (await outbox.progress()).reasons
    await outbox.mark("a", RowState.SENT)
    assert {} == (await outbox.progress()).reasons


async def test_hundred_thousand_rows(store: RedisClient, redis_shared: RedisServer) -> None:
    """With 100,000 rows no step takes longer than with few, taking over and ending included."""
    one = await opened(store)
    outbox = await holding(store, one)
    name = key(SITE, "notify", "rows", one.name, "mail")
    for n in range(0, 100_000, 5000):
        pairs = (part for k in range(n, n + 5000) for part in (f"row-{k}", "sent 1 0 one 0.0 "))
        await store.do("HSET", name, *pairs)
    await store.do("HSET", key(SITE, "notify", "run", one.name, "mail"), "sent", 100_000)
    redis_shared.ask("CONFIG", "SET", "slowlog-log-slower-than", "20000")
    redis_shared.ask("SLOWLOG", "RESET")

    await outbox.claim("a", [])
    second = await after_a_loss(store, one)
    await second.claim("b", [])
    await second.mark("b", RowState.SENT)
    assert set() == await second.new([f"row-{k}" for k in range(500)])
    assert Counts(candidates=100_002, sent=100_001, unknown=1) == await counts(second)
    assert await second.finish(State.DONE)

    assert 0 == redis_shared.ask("SLOWLOG", "LEN")


async def test_suspended_worker_holds_up_nobody(store: RedisClient) -> None:
    """A worker that was suspended in the middle of a message claims nothing after its lease was lost; its one message counts as sent."""
    one = await opened(store)
    first = await holding(store, one, lease=0.2)
    assert Claim.CLAIMED == await first.claim("a", [])
    second = Outbox(store, one, ChannelName.MAIL, "two")
    await until(second.take)

    assert Claim.LEASE_LOST == await first.claim("b", [])
    assert Claim.ENDED == await second.claim("a", [])
    assert Claim.CLAIMED == await second.claim("b", [])
    await first.mark("a", RowState.SENT)

    assert Counts(candidates=2, claimed=1, sent=1) == await counts(second)
