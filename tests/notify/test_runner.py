"""Campaigns from their opening to an end, with workers that come and go."""

import asyncio
import time
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from server.campaign import ChannelName, Counts, State
from server.errors import NotStarted
from tests.rig.notify_models import SENT, ModelAudience, ModelChannel, people
from tests.rig.notify_rig import CONFIG, QUICK, NotifyRig
from tests.rig.server import until


async def test_everyone_gets_one_message(redis_url: str) -> None:
    """A campaign is done when each recipient has had exactly one message, and the counts add up."""
    async with NotifyRig(redis_url, ModelAudience(people(25))) as rig:
        rig.start()
        progress = await rig.until_over()

    assert (State.DONE, Counts(candidates=25, sent=25)) == (progress.state, progress.counts)
    assert sorted(people(25)) == sorted(rig.channel.addresses)
    assert (25, 2) == (progress.total, progress.passes)


async def test_two_workers_at_once_send_nothing_twice(redis_url: str) -> None:
    """Law 17: of two workers one runs a campaign, and nobody gets a message twice."""
    async with NotifyRig(redis_url, ModelAudience(people(60))) as rig:
        rig.start()
        rig.start()
        progress = await rig.until_over()

    assert Counts(candidates=60, sent=60) == progress.counts
    assert sorted(people(60)) == sorted(rig.channel.addresses)


async def test_another_worker_takes_over_after_a_kill(redis_url: str) -> None:
    """Law 17: what a killed worker had in flight is unknown and never sent again; all others get their message."""
    async with NotifyRig(redis_url, ModelAudience(people(40)), ModelChannel(parallel=3)) as rig:
        rig.channel.on_try = lambda _: rig.channel.gate.clear() if len(rig.channel.tries) == 12 else None
        first = rig.start()
        await until(lambda: rig.channel.at_once == 3)
        await first.kill()
        killed = [one.address for one in rig.channel.tries if one not in rig.channel.taken]
        rig.channel.on_try = None
        rig.channel.gate.set()
        rig.start()
        progress = await rig.until_over()
        unknown = await rig.outbox.unknown()

    assert (State.DONE, Counts(candidates=40, sent=37, unknown=3)) == (progress.state, progress.counts)
    assert sorted(set(people(40)) - set(killed)) == sorted(rig.channel.addresses)
    assert {rig.row(one) for one in killed} == set(unknown)


async def test_many_kills_lose_at_most_what_was_in_flight(redis_url: str) -> None:
    """Law 17: however often workers are killed, nobody gets a message twice, and whoever got none is unknown."""
    async with NotifyRig(redis_url, ModelAudience(people(100)), times=replace(QUICK, lease=0.1)) as rig:
        for kill in range(1, 9):
            worker = rig.start()
            await until(lambda number=kill: len(rig.channel.tries) >= number * 10)  # type: ignore[misc]
            await worker.kill()
        rig.start()
        progress = await rig.until_over()
        unknown = await rig.outbox.unknown()

    assert len(rig.channel.addresses) == len(set(rig.channel.addresses))
    assert State.DONE == progress.state
    assert progress.counts.unknown <= 8 * rig.channel.parallel
    missing = {rig.row(one) for one in set(people(100)) - set(rig.channel.addresses)}
    assert missing <= set(unknown)


async def test_in_flight_at_the_end_of_the_process_is_finished(redis_url: str) -> None:
    """At SIGTERM nothing more is claimed, and what is answered in time is not unknown."""
    async with NotifyRig(redis_url, ModelAudience(people(30)), ModelChannel(parallel=2)) as rig:
        rig.channel.gate.clear()
        worker = rig.start()
        await until(lambda: rig.channel.at_once == 2)
        worker.stopping.set()
        await asyncio.sleep(0.05)
        rig.channel.gate.set()
        await worker.stop()

        assert Counts(candidates=2, sent=2) == await rig.counts()
        rig.start()
        assert Counts(candidates=30, sent=30) == (await rig.until_over()).counts


async def test_what_is_not_answered_at_the_end_is_unknown(redis_url: str) -> None:
    """At SIGTERM what is in flight has its time, and is unknown then: another worker does not send it again."""
    async with NotifyRig(redis_url, ModelAudience(people(30)), ModelChannel(parallel=2)) as rig:
        rig.channel.gate.clear()
        worker = rig.start()
        await until(lambda: rig.channel.at_once == 2)
        began = time.monotonic()
        await worker.stop()
        assert rig.times.grace <= time.monotonic() - began < rig.times.grace + 1

        assert Counts(candidates=2, unknown=2) == await rig.counts()
        rig.channel.gate.set()
        rig.start()
        assert Counts(candidates=30, sent=28, unknown=2) == (await rig.until_over()).counts


async def test_person_stops_a_campaign_and_has_it_go_on(redis_url: str) -> None:
    """`notify stop` ends the claims at any moment, says how many got nothing, and `notify send` takes it up again."""
    async with NotifyRig(redis_url, ModelAudience(people(50)), ModelChannel(parallel=1)) as rig:
        rig.channel.on_try = lambda _: rig.channel.gate.clear() if len(rig.channel.tries) == 10 else None
        rig.start()
        await until(lambda: rig.channel.at_once == 1 and len(rig.channel.tries) == 10)
        assert await rig.campaigns.stop(rig.campaign.site, rig.campaign.name, "Ada")
        rig.channel.gate.set()
        stopped = await rig.until_over()
        assert (State.STOPPED, "40 not sent") == (stopped.state, stopped.note)
        await asyncio.sleep(0.1)
        assert 10 == len(rig.channel.tries)

        rig.channel.on_try = None
        assert await rig.campaigns.go_on(rig.campaign.site, rig.campaign.name)
        done = await rig.until(lambda now: now.state is State.DONE)

    assert Counts(candidates=50, sent=50) == done.counts


async def test_nothing_goes_out_after_the_deadline(redis_url: str) -> None:
    """After the deadline nothing is claimed, who waits is skipped, and how many got nothing is said."""
    now = time.time()
    async with NotifyRig(redis_url, ModelAudience(people(50)), ModelChannel(per_second=20), deadline=now + 1) as rig:
        rig.start()
        progress = await rig.until_over()
        sent = len(rig.channel.tries)
        await asyncio.sleep(0.2)

    assert State.TOO_LATE == progress.state
    assert sent == len(rig.channel.tries) == progress.counts.sent
    assert 5 < sent < 40
    assert f"{50 - sent} not sent" == progress.note


@pytest.mark.parametrize(
    ("recorded", "why"), [(False, "no worker ran at its end"), (True, "no worker saw it on sale in time")]
)
async def test_missed_campaign_is_counted_only(redis_url: str, recorded: bool, why: str) -> None:
    """A campaign whose deadline has passed while no worker ran is too late, with how many it was for, and why."""
    start, deadline = time.time() - 9000, time.time() - 1800
    audience = ModelAudience(people(7))
    async with NotifyRig(redis_url, audience, start=start, deadline=deadline, too_late=recorded) as rig:
        rig.start()
        progress = await rig.until_over()

    assert (State.TOO_LATE, f"{why}: 7 not sent", 7) == (
        progress.state,
        progress.note,
        progress.total,
    )
    assert [] == rig.channel.tries


async def test_campaign_that_has_ended_is_not_taken_again(redis_url: str) -> None:
    """A campaign that is over costs neither the tool nor the channel anything."""
    async with NotifyRig(redis_url, ModelAudience(people(3))) as rig:
        first = rig.start()
        await rig.until_over()
        await first.stop()
        pages = len(rig.audience.pages)
        rig.start()
        await asyncio.sleep(0.2)

    assert pages == len(rig.audience.pages)


async def test_event_that_left_the_file_is_not_run(redis_url: str) -> None:
    """An event that notify.toml names no more gets no messages."""
    async with NotifyRig(redis_url, ModelAudience(people(3))) as rig:
        rig.start(config=replace(CONFIG, events={}))
        await asyncio.sleep(0.1)

    assert [] == rig.channel.tries


async def test_audience_that_cannot_be_opened_is_told(redis_url: str) -> None:
    """A tool that is not set up is told in the log, and the worker goes on."""

    def refuse(*_: object) -> ModelAudience:
        raise NotStarted("notify.toml:7: there is no such file")

    async with NotifyRig(redis_url, ModelAudience(people(3))) as rig:
        with capture_logs() as lines:
            worker = rig.start(open_source=refuse)
            await until(lambda: any(one["event"] == "campaign_not_run" for one in lines))
        assert not worker.task.done()

    [line] = [one for one in lines if one["event"] == "campaign_not_run"]
    assert ("notify.toml:7: there is no such file", ChannelName.MAIL) == (line["error"], line["channel"])


async def test_bug_in_one_campaign_stops_neither_the_worker_nor_shows_an_address(redis_url: str) -> None:
    """A bug is told by its type and place, without its text, which may contain an address; the worker goes on."""
    async with NotifyRig(redis_url, ModelAudience(people(3))) as rig:

        async def broken(_: object) -> None:
            raise ValueError("p1@example.org")

        with capture_logs() as lines:
            worker = rig.start(offer=broken)
            await until(lambda: any(one["event"] == "notify_bug" for one in lines))
        assert not worker.task.done()

    assert "ValueError" == next(one for one in lines if one["event"] == "notify_bug")["error"]
    assert "p1@example.org" not in str(lines)


@pytest.mark.parametrize("asks_each", [True, False])
async def test_logs_and_redis_hold_no_address(redis_url: str, asks_each: bool) -> None:
    """Neither a log line nor a key or value in Redis contains an address."""
    audience = ModelAudience(people(20, domain="secret.example"), asks_each=asks_each)
    async with NotifyRig(redis_url, audience, ModelChannel(script={"p3@secret.example": [replace(SENT)]})) as rig:
        with capture_logs() as lines:
            worker = rig.start()
            await rig.until_over()
            await worker.stop()  # no key ends while they are read
        found = []
        for name in await rig.store.do("KEYS", "*"):
            kind = await rig.store.do("TYPE", name)
            reads = {"hash": ("HGETALL",), "zset": ("ZRANGE", 0, -1), "set": ("SMEMBERS",), "string": ("GET",)}[kind]
            found.append(await rig.store.do(reads[0], name, *reads[1:]))

    assert "secret.example" not in str(found)
    assert "secret.example" not in str(lines)
