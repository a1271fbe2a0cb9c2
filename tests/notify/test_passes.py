"""Passes over an audience that changes while it is read, and a tool that fails."""

import asyncio
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from server.campaign import ChannelName, Counts, RowState, Skip, State
from server.errors import AudienceUnavailable, RedisUnavailable
from server.notify.audience.source import Member, Page
from server.store.outbox import Claim, Outbox
from tests.rig.notify_models import GREYLISTED, REJECTS_US, ModelAudience, ModelChannel, people
from tests.rig.notify_rig import QUICK, NotifyRig
from tests.rig.server import until

DOWN = AudienceUnavailable("lists does not answer: 500", status=500)


async def test_shifting_pages_hide_nobody(redis_url: str) -> None:
    """Members that move to a page that was read already, as others leave, get their message in a later pass."""
    audience = ModelAudience(people(50))

    def leave(number: int) -> None:
        for one in people(3, (number - 1) * 3):
            audience.leave(one)

    audience.on_page = leave
    async with NotifyRig(redis_url, audience) as rig:
        rig.start()
        await rig.until_over()

    assert set(audience.subscribers) <= set(rig.channel.addresses)
    assert len(rig.channel.addresses) == len(set(rig.channel.addresses))


async def test_new_subscribers_are_found_until_a_pass_finds_none(redis_url: str) -> None:
    """Who subscribes while it runs gets the message too."""
    audience = ModelAudience(people(20))
    audience.on_page = lambda number: audience.subscribe(f"late{number}@example.org") if number < 4 else None
    async with NotifyRig(redis_url, audience) as rig:
        rig.start()
        progress = await rig.until_over()

    assert Counts(candidates=23, sent=23) == progress.counts


async def test_only_confirmed_members_get_a_message(redis_url: str) -> None:
    """Who has not confirmed the subscription is in no page, and gets nothing."""
    audience = ModelAudience(people(3))
    audience.subscribe("unconfirmed@example.org", confirmed=False)
    async with NotifyRig(redis_url, audience) as rig:
        rig.start()
        progress = await rig.until_over()

    assert (3, sorted(people(3))) == (progress.counts.candidates, sorted(rig.channel.addresses))


async def test_fault_on_a_page_goes_on_from_its_cursor(redis_url: str) -> None:
    """A tool that fails on page 3 is asked for page 3 again."""
    async with NotifyRig(redis_url, ModelAudience(people(50), faults={3: DOWN, 4: DOWN})) as rig:
        rig.start()
        progress = await rig.until_over()

    assert [None, "10", "20", "20", "20", "30", "40"] == [cursor for cursor, _ in rig.audience.pages[:7]]
    assert Counts(candidates=50, sent=50) == progress.counts


async def test_member_whose_consent_cannot_be_told_keeps_nobody_waiting(redis_url: str) -> None:
    """A tool that cannot say of one member gets all others done, and that one asked again until it can."""
    audience = ModelAudience(people(20))
    faults = [4]

    def fail(address: str) -> None:
        if address == "p0@example.org" and faults[0]:
            faults[0] -= 1
            raise DOWN

    audience.on_consent = fail
    async with NotifyRig(redis_url, audience) as rig:
        rig.start()
        progress = await rig.until_over()

    assert (State.DONE, Counts(candidates=20, sent=20)) == (progress.state, progress.counts)
    assert "p0@example.org" == rig.channel.addresses[-1]


async def test_tool_that_tells_no_consent_is_waited_for(redis_url: str) -> None:
    """A tool that cannot tell anyone's consent is asked later and later, and says so, not member by member."""
    audience = ModelAudience(people(30))
    times = replace(QUICK, retry=0.3, longest_retry=0.3)
    down = [True]

    def fail(_: str) -> None:
        if down[0]:
            raise DOWN

    audience.on_consent = fail
    async with NotifyRig(redis_url, audience, times=times) as rig:
        rig.start()
        await rig.until(lambda now: "does not answer: 500" in now.note)
        assert len(audience.asked) <= 12
        assert Counts() == await rig.counts()
        down[0] = False
        progress = await rig.until_over()

    assert Counts(candidates=30, sent=30) == progress.counts


async def test_page_that_is_too_old_is_read_again(redis_url: str) -> None:
    """Where the tool cannot be asked for each member, nobody is claimed from a page that is too old to tell consent."""
    audience = ModelAudience(people(10), asks_each=False)
    channel = ModelChannel(parallel=1, delay=0.15)
    read: list[float] = []
    ages: list[float] = []
    audience.on_page = lambda _: read.append(time.monotonic())
    channel.on_try = lambda _: ages.append(time.monotonic() - read[-1])
    async with NotifyRig(redis_url, audience, channel, times=replace(QUICK, fresh=0.5)) as rig:
        rig.start()
        progress = await rig.until_over()

    assert Counts(candidates=10, sent=10) == progress.counts
    assert max(ages) < 1.0
    assert len(read) >= 3
    assert [] == audience.asked


async def test_pages_are_so_small_that_they_are_used_up_in_time(redis_url: str) -> None:
    """Where the tool cannot be asked for each member, a page has no more members than go out while it tells consent."""
    times = replace(QUICK, page=500, fresh=0.5)
    async with NotifyRig(
        redis_url, ModelAudience(people(20), asks_each=False), ModelChannel(per_second=20), times=times
    ) as rig:
        rig.start()
        await rig.until_over()

    assert {8} == {size for _, size in rig.audience.pages}


async def test_who_left_while_waiting_is_not_tried_again(redis_url: str) -> None:
    """Who waits for another try, and is in the audience no more, is skipped after two passes."""
    audience = ModelAudience(people(3))
    channel = ModelChannel(script={"p1@example.org": [GREYLISTED]})
    times = replace(QUICK, first_wait=1.0, rest=0.05)
    async with NotifyRig(redis_url, audience, channel, times=times) as rig:
        rig.start()
        await rig.until(lambda now: now.counts.waiting == 1)
        audience.leave("p1@example.org")
        progress = await rig.until_over()

    assert {(RowState.SKIPPED, Skip.OPTED_OUT): 1} == progress.reasons
    assert 1 == len([one for one in channel.tries if one.address == "p1@example.org"])


async def test_as_many_at_once_as_the_channel_takes(redis_url: str) -> None:
    """Messages of one campaign are on their way at the same time, but no more than the channel takes."""
    channel = ModelChannel(parallel=3, delay=0.02)
    async with NotifyRig(redis_url, ModelAudience(people(30)), channel) as rig:
        rig.start()
        await rig.until_over()

    assert 3 == channel.most_at_once


async def test_paused_relay_is_waited_for_where_the_pass_is(redis_url: str) -> None:
    """While the relay is paused nobody is claimed, and the pass goes on where it was, from a page that is young enough."""
    channel = ModelChannel(parallel=1, script={"p14@example.org": [REJECTS_US]})
    async with NotifyRig(redis_url, ModelAudience(people(40)), channel) as rig:
        rig.start()
        await rig.until(lambda now: now.state is State.PAUSED)
        pages, tries = len(rig.audience.pages), len(channel.tries)
        await asyncio.sleep(0.3)
        assert (pages, tries) == (len(rig.audience.pages), len(channel.tries))
        await rig.servers.resume("mail")
        progress = await rig.until_over()

    assert Counts(candidates=40, sent=40) == progress.counts


async def test_paused_push_service_holds_only_its_own_back(redis_url: str) -> None:
    """While a push service is paused, recipients of others are served, and its own stay unclaimed until it is back."""
    slow = [f"https://slow.example/{number}" for number in range(12)]
    quick = [f"https://quick.example/{number}" for number in range(12)]
    channel = ModelChannel(ChannelName.PUSH, parallel=1, script={slow[0]: [REJECTS_US]})
    async with NotifyRig(redis_url, ModelAudience(slow + quick), channel) as rig:
        rig.start()
        progress = await rig.until(lambda now: now.state is State.PAUSED)
        assert set(quick) == set(channel.addresses)
        assert progress.note.startswith("push slow.example: it refuses our password")
        await rig.servers.resume("push slow.example")
        progress = await rig.until_over()

    assert Counts(candidates=24, sent=24) == progress.counts


async def test_tool_that_names_a_time_is_not_asked_before(redis_url: str) -> None:
    """A tool that says when to come back (Retry-After) is not asked earlier."""
    busy = AudienceUnavailable("lists answered 429", status=429, retry_after=0.5)
    async with NotifyRig(redis_url, ModelAudience(people(3), faults={1: busy})) as rig:
        began = time.monotonic()
        rig.start()
        await rig.until_over()

    assert 0.5 <= time.monotonic() - began


async def test_end_of_the_process_waits_for_no_page(redis_url: str) -> None:
    """A tool that does not answer keeps no process from its end."""

    class Silent(ModelAudience):
        async def page(self, cursor: str | None, size: int) -> Page:
            self.pages.append((cursor, size))
            await asyncio.Event().wait()
            raise RuntimeError

    async with NotifyRig(redis_url, Silent(people(3))) as rig:
        worker = rig.start()
        await until(lambda: rig.audience.pages)
        began = time.monotonic()
        await worker.stop()

    assert time.monotonic() - began < 1


async def test_end_of_the_process_gives_what_is_in_flight_its_time(redis_url: str) -> None:
    """At the end of the process what is in flight has its time, and no more."""
    channel = ModelChannel(parallel=2)
    channel.gate.clear()
    async with NotifyRig(redis_url, ModelAudience(people(9)), channel) as rig:
        worker = rig.start()
        await until(lambda: channel.at_once == 2)
        await worker.stop()
        assert Counts(candidates=2, unknown=2) == await rig.counts()


async def test_bug_at_one_member_keeps_nobody_waiting(redis_url: str) -> None:
    """A bug that one member shows is told without the address, and all others get their message."""

    def fail(address: str) -> None:
        if address == "p0@example.org":
            raise KeyError(address)

    async with NotifyRig(redis_url, ModelAudience(people(9), on_consent=fail)) as rig:
        with capture_logs() as lines:
            rig.start()
            await rig.until(lambda now: now.counts.sent == 8)
            await until(lambda: "notify_bug" in [one["event"] for one in lines])

    assert "p0@example.org" not in str(lines)


async def test_redis_away_ends_the_pass_and_another_one_begins(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 17: a claim whose answer was lost is given back, since nothing was handed over: nobody is missed, and nobody gets two."""
    claim, lost = Outbox.claim, [3]

    async def lose(self: Outbox, row: str, suppressions: Sequence[str]) -> Claim:
        found = await claim(self, row, suppressions)
        if lost[0]:
            lost[0] -= 1
            raise RedisUnavailable("Redis did not take notify_claim")
        return found

    monkeypatch.setattr(Outbox, "claim", lose)
    async with NotifyRig(redis_url, ModelAudience(people(20))) as rig:
        rig.start()
        progress = await rig.until_over()

    assert (0, Counts(candidates=20, sent=20)) == (lost[0], progress.counts)
    assert sorted(people(20)) == sorted(rig.channel.addresses)


class Endless(ModelAudience):
    """So many members, of whom no more than a page is in memory."""

    number = 10_000

    async def count(self) -> int:
        return self.number

    async def page(self, cursor: str | None, size: int) -> Page:
        first = int(cursor or 0)
        members = tuple(map(Member, people(min(size, self.number - first), first)))
        return Page(members, str(first + size) if first + size < self.number else None)


async def test_memory_does_not_grow_with_the_audience(redis_url: str) -> None:
    """A pass over 10,000 members who have a row already keeps no more in memory than some pages."""
    times = replace(QUICK, page=500, look=60.0, look_after=100_000, lease=10.0)
    async with NotifyRig(redis_url, Endless(asks_each=False), times=times) as rig:
        # As another worker would have left them: `claim` of so many one by one is tested elsewhere.
        rows = [rig.row(one) for one in people(Endless.number)]
        name = rig.outbox._keys["rows"]
        for first in range(0, len(rows), 1000):
            fields = [part for row in rows[first : first + 1000] for part in (row, "sent 1 0 other 1.0 ")]
            await rig.store.do("HSET", name, *fields)
        await rig.store.do("HSET", rig.outbox._keys["run"], "sent", len(rows))
        del rows
        tracemalloc.start()
        rig.start()
        progress = await rig.until_over(120)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert (State.DONE, Counts(candidates=10_000, sent=10_000)) == (progress.state, progress.counts)
    assert peak < 3_000_000, f"{peak / 1e6:.1f} MB"
    assert [] == rig.channel.tries
