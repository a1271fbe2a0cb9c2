import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from server import metrics
from server.counter import Rules
from server.errors import RedisUnavailable
from server.model import EventId, Hint, Pace, SaleStatus, SiteId, TicketId
from server.store.budget import Wait
from server.store.claims import EventLot, Listing, Lot, NextRead
from server.store.snapshots import Cause, Kept, ReadResult, Snapshots, StoredTicket
from tests.rig.default_keys import channel, key
from tests.rig.fake_reader import EVENT, definition
from tests.rig.redis import SERVERS, RedisServer
from tests.rig.server import OTHER, SITE, TICKET
from tests.rig.stored_site import StoredSite
from tests.rig.time_travel import aged, elapse

SITE_ID = SiteId(SITE)
A, B = TicketId(TICKET), TicketId(OTHER)

KEPT, SHOWN, CHANGED = Kept.KEPT, Kept.ANNOUNCED, Kept.CHANGED
NEW = KEPT | SHOWN | CHANGED

LOOK = """
return {
  redis.call('HGET', KEYS[1], 'version'),
  redis.call('HGET', KEYS[2], 'version'),
  redis.call('XLEN', KEYS[3]),
  redis.call('XLEN', KEYS[4]),
}
"""
"""The versions of two tickets and the lengths of both logs, all at the same moment."""


@pytest.fixture
async def site(redis_url: str) -> AsyncIterator[StoredSite]:
    """A known site that tracks every ticket."""
    async with aclosing(StoredSite(redis_url)) as found:
        yield await found.add_site()


# -- what is stored --


async def test_first_read(site: StoredSite) -> None:
    """The first read of a ticket is stored, published and logged as a change with no before."""
    assert [NEW] == await site.keep(7_000, definition(A, 3))

    stored = await site.read()
    assert ("7000", "7000", "7000") == (stored["version"], stored["v"], stored["read_at"])
    assert (Rules().hash, EVENT, "live", "3") == tuple(stored[name] for name in ("rules", "event", "pace", "unsold"))
    assert stored["counter"].startswith('{"v":7000,"ticket":')
    assert 3 == (await site.counter())["unsold"]
    [change] = await site.log("changes")
    assert {"ticket": A, "event": EVENT, "v": "7000", "after": stored["facts"]} == change
    assert {A} == set(await site.store.do("SMEMBERS", key(SITE, "event", EVENT)))


async def test_empty_answer_keeps_nothing(site: StoredSite) -> None:
    """An empty answer stores nothing."""
    assert [] == await site.keep(7_000)


async def test_older_read_is_refused(site: StoredSite) -> None:
    """Law 2: A read that began earlier than the stored one, or the same one again, is refused and changes nothing."""
    await site.keep(7_000, definition(A, 3))
    before = await everything(site)

    for version in (6_999, 7_000):
        assert [Kept.REFUSED] == await site.keep(version, definition(A, 9, facts={"name": "older"}))

    assert before == await everything(site)
    assert [KEPT | SHOWN] == await site.keep(7_001, definition(A, 2))


async def test_read_under_other_rules_is_refused(site: StoredSite, redis_url: str) -> None:
    """A worker whose rules are not the site's stores nothing, nor does one whose site is unknown."""
    async with aclosing(StoredSite(redis_url, rules=Rules(low_at=2))) as other:
        before = await everything(site)

        assert [Kept.OTHER_RULES] == await other.keep(7_000, definition(A, 3))
        other.site = SiteId("5f0e4d3c-1111-4111-8111-00000000b002")
        assert [Kept.REFUSED] == await other.keep(7_000, definition(A, 3))

        assert before == await everything(site)


async def test_new_rules_announce_a_new_counter(redis_url: str) -> None:
    """After a change of rules the same answer makes another counter, which is announced, and no change of facts."""
    async with aclosing(StoredSite(redis_url)) as old, aclosing(StoredSite(redis_url, rules=Rules(low_at=2))) as new:
        await old.add_site()
        await old.keep(7_000, definition(A, 3))
        await new.add_site()

        assert [KEPT | SHOWN] == await new.keep(7_001, definition(A, 3))

        assert "available" == (await new.counter())["state"]
        assert [Kept.OTHER_RULES] == await old.keep(7_002, definition(A, 3))


async def test_each_ticket_of_an_answer_is_kept_separately(site: StoredSite) -> None:
    """Of one answer each ticket is judged separately: newer ones are stored, older ones refused."""
    await site.keep(7_005, definition(A, 3))

    assert [Kept.REFUSED, NEW] == await site.keep(7_003, definition(A, 1), definition(B, 1))


async def test_keep_outcomes_are_counted(site: StoredSite) -> None:
    """The outcome of each read is counted: announced, stored without a change, or refused."""

    def counted() -> list[float]:
        return [metrics.kept.labels(name)._value.get() for name in ("announced", "same", "refused")]

    before = counted()
    for version in (7_000, 7_001, 7_001):
        await site.keep(version, definition(A, 3))

    assert [1, 1, 1] == [now - was for now, was in zip(counted(), before, strict=True)]


# -- what is announced --


async def test_counter_is_published_once_when_it_changes(site: StoredSite) -> None:
    """A counter is published once when its public state has changed, as the text that is stored."""
    async with site.store.listener() as listener:
        await listener.subscribe(channel(SITE, A))
        assert await listener.receive(2)

        await site.keep(7_000, definition(A, 3))
        first = (await site.read())["counter"]
        await site.keep(7_001, definition(A, 3))
        await site.keep(7_002, definition(A, 3, facts={"changed": "for us only"}))
        await site.keep(7_001, definition(A, 8))
        await site.keep(7_003, definition(A, 2))
        second = (await site.read())["counter"]

        heard = [one.text for _ in range(3) if (one := await listener.receive(0.2))]
    assert [first, second] == heard
    assert ["7000", "7003"] == [first[5:9], second[5:9]]


async def test_public_bytes_do_not_change_above_the_threshold(redis_url: str) -> None:
    """Above SHOW_AT_MOST no read changes anything public: same v, same bytes, no publish."""
    async with aclosing(StoredSite(redis_url, rules=Rules(low_at=5, show_at_most=10))) as site:
        await site.add_site()
        await site.keep(7_000, definition(A, 200))
        before = await site.read()
        async with site.store.listener() as listener:
            await listener.subscribe(channel(SITE, A))
            assert await listener.receive(2)

            for step in range(1, 20):
                assert [KEPT] == await site.keep(7_000 + step, definition(A, 200 - step))

            assert await listener.receive(0.1) is None
        after = await site.read()
        assert (before["v"], before["counter"]) == (after["v"], after["counter"])
        assert ("7019", "181") == (after["version"], after["unsold"])
        assert json.loads(after["counter"])["unsold"] is None

        assert [KEPT | SHOWN] == await site.keep(7_100, definition(A, 10))


async def test_read_at_is_updated_by_each_read(site: StoredSite) -> None:
    """A read that changes nothing still updates how fresh the counter is."""
    await site.keep(7_000, definition(A, 3))

    assert [KEPT] == await site.keep(7_005, definition(A, 3))

    stored = await site.read()
    assert ("7000", "7005", "7005") == (stored["v"], stored["version"], stored["read_at"])


async def test_read_at_is_never_in_the_future(site: StoredSite) -> None:
    """Law 8: A version ahead of a clock that was set back makes no number fresh for longer than a read does."""
    now = int((await site.store.do("TIME"))[0]) * 10**6
    ahead = now + 3600 * 10**6

    await site.keep(ahead, definition(A, 3))

    stored = await site.read()
    assert str(ahead) == stored["version"]
    assert now <= int(stored["read_at"]) < now + 5 * 10**6


# -- unreported falls --


class SellingSite:
    """A site whose ticket sells: each read comes so many seconds after the one before."""

    def __init__(self, site: StoredSite) -> None:
        self.site = site

    async def reads(self, unsold: int | None, after: float = 15, ticket: TicketId = A) -> bool:
        """Let the time pass and read; returns whether that was an unreported fall."""
        await self.passes(after)
        second, micro = await self.site.store.do("TIME")
        [kept] = await self.site.keep(int(second) * 10**6 + int(micro), definition(ticket, unsold))
        assert KEPT in kept
        return Kept.UNREPORTED in kept

    async def hears(self, after: float = 0) -> None:
        await self.passes(after)
        await self.site.schedule.mark(SITE_ID, Hint("order", (A,)), "order_confirmed")

    async def passes(self, seconds: float) -> None:
        await elapse(self.site.store, SITE_ID, seconds, (A, B))

    async def counted(self) -> tuple[int, int, int]:
        """Falls, the seconds over which they came, and the number of tickets by which stock fell."""
        heard = await self.site.schedule.heard(SITE_ID)
        first, last = (int(heard.get(f"falls:{name}", 0)) for name in ("first", "last"))
        return int(heard.get("falls", 0)), round((last - first) / 1e6), int(heard.get("falls:tickets", 0))


@pytest.fixture
async def selling_site(site: StoredSite) -> SellingSite:
    return SellingSite(site)


async def test_fall_without_a_webhook_is_counted(selling_site: SellingSite) -> None:
    """Stock that fell without a webhook is counted: how often, over what time, and by how many tickets."""
    assert not await selling_site.reads(9)
    assert await selling_site.reads(8)
    assert not await selling_site.reads(8)
    assert await selling_site.reads(5, ticket=A)
    assert not await selling_site.reads(4, ticket=B)
    assert await selling_site.reads(3, ticket=B)

    assert (3, 60, 5) == await selling_site.counted()


@pytest.mark.parametrize(("unsold", "then"), [(None, 5), (5, None), (None, None)])
async def test_new_or_removed_limit_is_no_fall(selling_site: SellingSite, unsold: int | None, then: int | None) -> None:
    """That a ticket gets or loses its limit is no fall of its stock."""
    await selling_site.reads(unsold)

    assert not await selling_site.reads(then)
    assert (0, 0, 0) == await selling_site.counted()


async def test_fall_after_a_webhook_is_not_counted(selling_site: SellingSite) -> None:
    """A webhook explains falls after it, even a minute later, for as long as Wix's reads may lag; not for longer."""
    await selling_site.reads(9)
    await selling_site.hears(after=5)
    assert not await selling_site.reads(8, after=2)
    assert not await selling_site.reads(7, after=40)
    assert not await selling_site.reads(6, after=15)
    assert not await selling_site.reads(5, after=15)
    assert (0, 0, 0) == await selling_site.counted()

    assert await selling_site.reads(4, after=15)


async def test_webhook_resets_the_fall_count(selling_site: SellingSite) -> None:
    """A webhook that comes after falls was late: it ends the count, and later unreported falls begin another."""
    for unsold in (9, 8, 7):
        await selling_site.reads(unsold)
    await selling_site.hears()
    await selling_site.reads(7)

    assert not await selling_site.reads(6)
    assert await selling_site.reads(4, after=70) is False
    assert await selling_site.reads(3)

    assert (1, 0, 1) == await selling_site.counted()


async def test_tickets_that_come_back_cancel_falls(selling_site: SellingSite) -> None:
    """Tickets that come back were in a cart: the falls are cancelled when all have come back, and not before."""
    for unsold in (9, 7, 4, 6):
        assert (unsold in {7, 4}) == await selling_site.reads(unsold)
    assert (2, 15, 3) == await selling_site.counted()

    assert not await selling_site.reads(9)
    assert (0, 0, 0) == await selling_site.counted()
    assert not await selling_site.reads(20)
    assert await selling_site.reads(19)
    assert (1, 0, 1) == await selling_site.counted()


async def test_refused_read_is_no_fall(selling_site: SellingSite) -> None:
    """A read that is refused, as older or under other rules, counts no fall."""
    await selling_site.reads(9)

    assert [Kept.REFUSED] == await selling_site.site.keep(7_000, definition(A, 3))

    assert (0, 0, 0) == await selling_site.counted()


# -- other rules --


async def test_other_rules_are_logged_once_a_minute(redis_url: str) -> None:
    """A worker with other rules than the site's logs that, once a minute at most."""
    async with aclosing(StoredSite(redis_url)) as site, aclosing(StoredSite(redis_url, rules=Rules(low_at=2))) as other:
        await site.add_site()
        with capture_logs() as logs:
            for version in (7_000, 7_001):
                await other.keep(version, definition(A, 3), definition(B, 3))

    assert [("warning", "rules_differ", SITE, 2)] == [
        (one["log_level"], one["event"], one["site"], one["refused"]) for one in logs
    ]


async def test_site_with_other_rules_is_logged_once(redis_url: str) -> None:
    """A worker that may not read a site, as its own rules differ, logs that in the same words, once."""
    async with aclosing(StoredSite(redis_url)) as site:
        with capture_logs() as logs:
            site.snapshots.rules_warning.warn(SITE_ID)
            site.snapshots.rules_warning.warn(SITE_ID)

    assert [("rules_differ", SITE)] == [(one["event"], one["site"]) for one in logs]


# -- history and changes --


async def test_history_records_changed_numbers_and_counters(redis_url: str) -> None:
    """History has an entry when the number or the counter changed, with the counter only if that changed."""
    async with aclosing(StoredSite(redis_url, rules=Rules(low_at=5, show_at_most=10))) as site:
        await site.add_site()
        began = await site.now()
        for step, unsold in enumerate([12, 11, 11, 10]):
            await site.keep(began + step, definition(A, unsold))
        await site.keep(began + 4, definition(A, 10, name="Balcony"))

        entries = await site.log("history")

        assert ["12", "11", "10", "10"] == [entry["unsold"] for entry in entries]
        assert [0, 1, 3, 4] == [int(entry["v"]) - began for entry in entries]
        assert [0, None, 3, 4] == [
            json.loads(entry["counter"])["v"] - began if "counter" in entry else None for entry in entries
        ]
        assert {A} == {entry["ticket"] for entry in entries}


async def test_history_tells_held_tickets_and_the_cause(site: StoredSite) -> None:
    """History says how many tickets are held, also where only that changed, and what caused each read."""
    began = await site.now()
    for step, (held, cause) in enumerate(
        [(None, Cause.LISTING), (2, Cause.HINT), (2, Cause.VIEWERS), (0, Cause.CLOCK)]
    ):
        read = ReadResult.of(definition(A, 3, held=held), None, Rules())
        await site.snapshots.keep(site.site, began + step, [read], cause)

    entries = await site.log("history")

    assert ["", "2", "0"] == [entry["held"] for entry in entries]
    assert ["listing", "hint", "clock"] == [entry["cause"] for entry in entries]


@pytest.mark.parametrize(("watched", "ages"), [(True, (89, 91)), (False, (389, 391))])
async def test_history_tells_of_a_number_that_was_withdrawn(
    site: StoredSite, watched: bool, ages: tuple[float, float]
) -> None:
    """A number that is the same is an entry if it was withdrawn: after MAX_STALE if watched, else RECONCILE later."""
    for age, entries in zip(ages, (1, 2), strict=True):
        await site.store.do("DEL", key(SITE, "history"), key(SITE, "ticket", A), key(SITE, "watched"))
        await site.keep(await site.now() - round(age * 1e6), definition(A, 3))
        if watched:
            await site.watch(A)
        await site.keep(await site.now(), definition(A, 3))

        assert entries == len(await site.log("history"))


async def test_unlimited_ticket_has_no_number_in_history(site: StoredSite) -> None:
    """An unlimited ticket has no number in history, rather than a zero."""
    await site.keep(7_000, definition(A, None))

    assert [""] == [entry["unsold"] for entry in await site.log("history")]


async def test_change_of_facts_is_logged(site: StoredSite) -> None:
    """A change of facts is logged with before and after, whatever the numbers do; numbers alone are no change."""
    await site.keep(7_000, definition(A, 3))
    assert [KEPT | SHOWN] == await site.keep(7_001, definition(A, 2))

    assert [KEPT | CHANGED] == await site.keep(7_002, definition(A, 2, facts={"z": 1, "a": "ü"}))
    assert [KEPT] == await site.keep(7_003, definition(A, 2, facts={"a": "ü", "z": 1}))

    [_, change] = await site.log("changes")
    assert ("7002", '{"a":"ü","z":1}') == (change["v"], change["after"])
    assert {"id": A, "name": "General admission"} == json.loads(change["before"])


async def test_deleted_ticket_is_logged_once(site: StoredSite) -> None:
    """A deleted ticket is gone for viewers, a change with no after, and no longer one of its event; only once."""
    await site.keep(7_000, definition(A, 3), definition(B, 3))

    assert [NEW] == await site.keep(7_001, ReadResult.deleted(A, EventId(EVENT)))
    assert [KEPT] == await site.keep(7_002, ReadResult.deleted(A, EventId(EVENT)))

    assert ("gone", None) == ((await site.counter())["state"], (await site.counter())["unsold"])
    *_, change = await site.log("changes")
    assert {"ticket", "event", "v", "before"} == set(change)
    assert {B} == set(await site.store.do("SMEMBERS", key(SITE, "event", EVENT)))
    assert "" == (await site.log("history"))[-1]["unsold"]


async def test_deleted_ticket_that_is_back_is_new(site: StoredSite) -> None:
    """A deleted ticket that exists again is new: a change with no before, and it does not expire."""
    await site.keep(7_000, ReadResult.deleted(A, EventId(EVENT)))

    assert [NEW] == await site.keep(7_001, definition(A, 3))

    assert "before" not in (await site.log("changes"))[-1]
    assert -1 == await site.ttl("ticket", A)


async def test_unknown_ticket_is_gone_for_a_minute(site: StoredSite) -> None:
    """Law 9: A ticket that Wix does not know is gone for a minute, without history, changes or a place in an event."""
    assert [KEPT | SHOWN] == await site.keep(7_000, ReadResult.never_there(A))

    assert "gone" == (await site.counter())["state"]
    assert 0 < await site.ttl("ticket", A) <= 60
    assert ([], []) == (await site.log("history"), await site.log("changes"))
    assert [] == await site.store.do("KEYS", key("*", "event", "*"))


async def test_unknown_ticket_that_appears_is_kept(site: StoredSite) -> None:
    """A ticket that Wix knows a moment later is stored as a new one and does not expire."""
    await site.keep(7_000, ReadResult.never_there(A))

    assert [NEW] == await site.keep(7_001, definition(A, 3))

    assert ("live", -1) == ((await site.read())["pace"], await site.ttl("ticket", A))


async def test_changes_and_history_are_trimmed(site: StoredSite) -> None:
    """Changes older than a week and history older than its days are trimmed as new entries come."""
    now_ms = int((await site.store.do("TIME"))[0]) * 1000
    days = {"changes": (8, 6), "history": (31, 29)}
    for name, (old, young) in days.items():
        for age in (old, young):
            for n in range(200):
                entry = f"{now_ms - age * 86_400_000 + n}-1"
                await site.store.do("XADD", key(SITE, name), entry, "ticket", "t", "v", age)

    await site.keep(7_000, definition(A, 3))

    for name, (old, young) in days.items():
        left = [entry["v"] for entry in await site.log(name)]
        assert left.count(str(old)) < 100, name  # whole blocks are trimmed, so some remain
        assert 200 == left.count(str(young)), name
        assert "7000" == left[-1]


async def test_history_days_setting(redis_url: str) -> None:
    """History is kept for as many days as the settings say."""
    async with aclosing(StoredSite(redis_url)) as site:
        site.snapshots = Snapshots(site.store, Rules(), history_days=0.5)
        await site.add_site()
        now_ms = int((await site.store.do("TIME"))[0]) * 1000
        for n in range(200):
            await site.store.do("XADD", key(SITE, "history"), f"{now_ms - 43_300_000 + n}-1", "v", "old")

        await site.keep(7_000, definition(A, 3))

        assert 100 > len(await site.log("history"))


# -- what expires --


async def test_untracked_snapshots_expire(redis_url: str) -> None:
    """Law 9: Where only watched tickets are tracked a snapshot and its event's set expire two days after the last read."""
    async with aclosing(StoredSite(redis_url)) as site:
        await site.add_site(everything=False)

        await site.keep(7_000, definition(A, 3))
        assert about_two_days(await site.ttl("ticket", A))
        assert about_two_days(await site.ttl("event", EVENT))
        await site.store.do("EXPIRE", key(SITE, "ticket", A), 100)
        await site.keep(7_001, definition(A, 3))
        assert about_two_days(await site.ttl("ticket", A))

        await site.add_site(everything=True)
        await site.keep(7_002, definition(A, 3))
        assert (-1, -1) == (await site.ttl("ticket", A), await site.ttl("event", EVENT))
        await site.keep(7_003, ReadResult.deleted(A, EventId(EVENT)))
        assert about_two_days(await site.ttl("ticket", A))


def about_two_days(seconds: int) -> bool:
    return 172_700 < seconds <= 172_800


# -- missing tickets --


@pytest.mark.parametrize("was", [definition(A, 3), ReadResult.deleted(A, None)])
async def test_never_there_is_refused_where_a_snapshot_is_stored(site: StoredSite, was: Any) -> None:
    """Law 3: An answer without a ticket does not overwrite a snapshot that another worker stored meanwhile."""
    await site.keep(7_000, was)
    before = await site.read()

    assert [Kept.REFUSED] == await site.keep(7_001, ReadResult.never_there(A))

    assert before == await site.read()
    assert [Kept.KEPT | Kept.ANNOUNCED] == await site.keep(7_002, ReadResult.never_there(B))
    assert [Kept.KEPT] == await site.keep(7_003, ReadResult.never_there(B))


async def test_miss_of_an_expired_snapshot_stores_nothing(site: StoredSite) -> None:
    """A miss of a ticket whose snapshot has expired creates no key that would never expire."""
    await site.snapshots.miss(SITE_ID, A)

    assert {} == await site.read()


async def test_stored_tells_known_tickets_and_their_misses(site: StoredSite) -> None:
    """Of tickets missing from an answer the known ones are returned, and a miss is stored until the next read."""
    never = TicketId("33333333-aaaa-4aaa-8aaa-000000000003")
    await site.keep(7_000, definition(A, 3, status=SaleStatus.ENDED), ReadResult.never_there(never))
    event = EventId(EVENT)
    assert [StoredTicket(A, event, Pace.SLOW, missing=False)] == await site.snapshots.stored(SITE_ID, [A, B, never])

    await site.snapshots.miss(SITE_ID, A)
    assert [StoredTicket(A, event, Pace.SLOW, missing=True)] == await site.snapshots.stored(SITE_ID, [A])

    await site.keep(7_001, definition(A, 3))
    assert [StoredTicket(A, event, Pace.LIVE, missing=False)] == await site.snapshots.stored(SITE_ID, [A])
    await site.keep(7_002, ReadResult.deleted(A, None))
    assert [StoredTicket(A, None, Pace.DEAD, missing=False)] == await site.snapshots.stored(SITE_ID, [A])


async def test_ticket_that_was_never_read_is_not_stored(site: StoredSite) -> None:
    """A ticket that was never read has no snapshot."""
    assert {} == await site.read()


# -- all or nothing --


async def test_published_counter_is_already_stored(site: StoredSite) -> None:
    """Law 3: When a counter is received it is already stored, in history, and its change of facts logged."""
    async with site.store.listener() as listener:
        await listener.subscribe(channel(SITE, A))
        assert await listener.receive(2)
        for step in range(20):
            await site.keep(7_000 + step, definition(A, 100 - step, facts={"step": step}))

            heard = await listener.receive(2)

            assert heard is not None
            assert heard.text == (await site.read())["counter"]
            assert heard.text == (await site.log("history"))[-1]["counter"]
            assert step + 1 == len(await site.log("changes"))


async def test_answer_is_kept_in_one_step(site: StoredSite) -> None:
    """Law 3: No reader ever sees a part of an answer: all its tickets, history and changes appear at the same moment."""
    tickets = [TicketId(f"ticket-{n}") for n in range(100)]
    keys = [
        key(SITE, "ticket", tickets[0]),
        key(SITE, "ticket", tickets[-1]),
        key(SITE, "history"),
        key(SITE, "changes"),
    ]
    seen: set[tuple[str | None, str | None, int, int]] = set()

    async def look() -> None:
        seen.add(tuple(await site.store.do("EVAL", LOOK, len(keys), *keys)))

    await look()
    for step in range(5):
        keeping = asyncio.create_task(
            site.keep(7_000 + step, *(definition(one, 50 - step, facts={"step": step}) for one in tickets))
        )
        while not keeping.done():
            await look()
        assert {Kept.KEPT} == {one & Kept.KEPT for one in await keeping}

    whole = {(None, None, 0, 0)} | {(v := str(7_000 + n), v, 100 * n + 100, 100 * n + 100) for n in range(5)}
    assert seen <= whole


@pytest.mark.parametrize("server", SERVERS)
async def test_full_redis_keeps_nothing(redis_server: Callable[..., RedisServer], server: str) -> None:
    """Law 3: A full Redis stores nothing of an answer and announces nothing."""
    full = redis_server(server)
    async with aclosing(StoredSite(full.url)) as site:
        await site.add_site()
        await site.keep(7_000, definition(A, 3))
        before = await everything(site)
        async with site.store.listener() as listener:
            await listener.subscribe(channel(SITE, A))
            assert await listener.receive(2)

            full.ask("CONFIG", "SET", "maxmemory", 1)
            with pytest.raises(RedisUnavailable):
                await site.keep(7_001, definition(A, 2, facts={"full": True}))
            full.ask("CONFIG", "SET", "maxmemory", "0")

            assert before == await everything(site)
            assert await listener.receive(0.1) is None
            assert [KEPT | SHOWN | CHANGED] == await site.keep(7_001, definition(A, 2, facts={"full": False}))


CONTENT: dict[str, tuple[str | int, ...]] = {
    "hash": ("HGETALL",),
    "set": ("SMEMBERS",),
    "stream": ("XRANGE", "-", "+"),
    "string": ("GET",),
    "zset": ("ZRANGE", 0, -1),
}


async def everything(site: StoredSite) -> dict[str, Any]:
    """Every key with its whole value."""
    found = {}
    for one in await site.store.do("KEYS", "*"):
        command, *rest = CONTENT[await site.store.do("TYPE", one)]
        found[one] = await site.store.do(command, one, *rest)
    return found


# -- any order --

Step = tuple[str, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["hint", "hint", "claim", "claim", "answer", "answer", "fault", "pass"]), st.integers(0, 5)
    ),
    max_size=30,
)


class Simulation:
    """A Wix with one number for each ticket, and workers whose answers come in any order."""

    def __init__(self, site: StoredSite) -> None:
        self.site = site
        self.truth = {A: 100, B: 100}
        # Lots in flight, each with Wix's answer at the time of the call; and the newest stored answer of each ticket.
        self.in_flight: list[tuple[Lot, dict[TicketId, int]]] = []
        self.kept: dict[TicketId, tuple[int, int]] = {}

    async def step(self, what: str, n: int) -> None:
        match what:
            case "hint":
                ticket = (A, B)[n % 2]
                self.truth[ticket] -= 1
                await self.site.schedule.mark(SITE_ID, Hint("order", (ticket,)))
            case "claim":
                await self.claim()
            case "answer" if self.in_flight:
                await self.answer(*self.in_flight.pop(n % len(self.in_flight)))
            case "fault" if self.in_flight:
                lot, _ = self.in_flight.pop(n % len(self.in_flight))
                await self.site.schedule.pause(SITE_ID, lot, 0.1)
            case "pass":
                await self.passes((0.3, 1, 2, 6, 25, 31)[n])

    async def claim(self) -> Lot | EventLot | Listing | Wait:
        found = await self.site.schedule.claim(SITE_ID, Rules())
        if isinstance(found, Lot):
            self.in_flight.append((found, {one: self.truth[one] for one in found.tickets}))
        return found

    async def answer(self, lot: Lot, said: dict[TicketId, int]) -> None:
        await self.site.keep(lot.version, *(definition(one, number) for one, number in said.items()))
        await self.site.schedule.settle(lot, [NextRead(one, Pace.LIVE) for one in said])
        for one, number in said.items():
            self.kept[one] = max(self.kept.get(one, (0, 0)), (lot.version, number))

    async def passes(self, seconds: float) -> None:
        await elapse(self.site.store, SITE_ID, seconds, (A, B))
        self.in_flight = [(aged(lot, seconds), said) for lot, said in self.in_flight]
        self.kept = {one: (version - int(seconds * 1e6), number) for one, (version, number) in self.kept.items()}

    async def check(self) -> None:
        """Check what must be true at any moment."""
        for ticket, (version, number) in self.kept.items():
            stored = await self.site.read(ticket)
            assert (str(number), str(version)) == (stored["unsold"], stored["version"])
        hinted = set(await self.site.store.do("ZRANGE", key(SITE, "hinted"), 0, -1))
        assert hinted <= set(await self.site.schedule.tracked(SITE_ID))

    async def finish(self) -> None:
        """Finish: workers answer, and read on until no hint is left."""
        for _ in range(50):
            while self.in_flight:
                await self.answer(*self.in_flight.pop())
            if not await self.site.store.do("ZCARD", key(SITE, "hinted")):
                return
            found = await self.claim()
            if isinstance(found, Wait):
                await self.passes(found.seconds)
        raise AssertionError("the hints do not come to an end")


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_any_interleaving_keeps_the_newest_read(redis_shared: RedisServer, steps: list[Step]) -> None:
    """Law 2: Whatever the order of hints, claims, answers, faults and time, the newest read stands and no hint is lost."""
    redis_shared.ask("FLUSHALL")

    async def run() -> None:
        async with aclosing(StoredSite(redis_shared.url)) as site:
            await site.add_site(everything=True)
            listing = await site.schedule.claim(SITE_ID, Rules())
            assert isinstance(listing, Listing)
            await site.schedule.listing_done(listing)
            simulation = Simulation(site)
            for what, n in steps:
                await simulation.step(what, n)
                await simulation.check()
            await simulation.finish()
            await simulation.check()

            hinted = {(A, B)[n % 2] for what, n in steps if what == "hint"}
            assert {one: simulation.truth[one] for one in hinted} == {one: simulation.kept[one][1] for one in hinted}

    asyncio.run(run())


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(6)))
def test_any_order_of_answers_keeps_the_newest_read(redis_shared: RedisServer, order: list[int]) -> None:
    """Law 2: In whatever order six answers are stored, the one that began last stands, and only newer ones are sent out."""
    redis_shared.ask("FLUSHALL")

    async def run() -> tuple[list[Kept], str]:
        async with aclosing(await StoredSite(redis_shared.url).add_site()) as site:
            outcomes = [(await site.keep(7_000 + n, definition(A, n)))[0] for n in order]
            return outcomes, (await site.read())["unsold"]

    outcomes, unsold = asyncio.run(run())

    assert "5" == unsold
    highest = [max(order[: i + 1]) == n for i, n in enumerate(order)]
    assert highest == [bool(one & SHOWN) for one in outcomes]


# -- a cluster --


async def test_keep_on_a_cluster(cluster_url: str) -> None:
    """On a cluster the counters of twenty sites are stored on each site's node and received by a sharded listener."""
    sites = [SiteId(f"5f0e4d3c-1111-4111-8111-{n:012x}") for n in range(20)]
    async with aclosing(StoredSite(cluster_url)) as site, site.store.listener() as listener:
        await listener.subscribe(*(channel(one, A) for one in sites))
        assert all([await listener.receive(2) for _ in sites])

        for number, one in enumerate(sites):
            site.site = one
            await site.add_site()
            now = await site.now()
            assert [NEW, NEW] == await site.keep(now, definition(A, number), definition(B, 1))
            assert [KEPT] == await site.keep(now + 1, definition(A, number))

        heard = [await listener.receive(2) for _ in sites]
        assert {channel(one, A): number for number, one in enumerate(sites)} == {
            one.channel: json.loads(one.text or "")["unsold"] for one in heard if one
        }
        assert await listener.receive(0.1) is None
        for site.site in sites:
            assert (2, 2) == (len(await site.log("history")), len(await site.log("changes")))
            assert [A, B] == [one.ticket for one in await site.snapshots.stored(site.site, [A, B])]


def test_hidden_ticket_is_gone_and_keeps_its_facts() -> None:
    """A hidden ticket is gone for viewers, while its definition stays among the facts."""
    found = ReadResult.of(replace(definition(A, 3), hidden=True), None, Rules())

    assert '"state":"gone"' in found.body
    assert (Pace.LIVE, 3, A) == (found.pace, found.unsold, json.loads(found.facts)["id"])
