"""One campaign on one channel: each state of it, and what moves it there."""

import asyncio
import time
from dataclasses import replace

from structlog.testing import capture_logs

from server.campaign import Campaign, Counts, RowState, Skip, State
from server.errors import AudienceRefused, AudienceUnavailable
from server.keyring import KeyRing, Purpose
from server.model import TicketId
from server.notify.offer import Offer
from tests.rig.campaigns import SITE
from tests.rig.notify_models import DOWN, GREYLISTED, REJECTS_US, SENT, ModelAudience, ModelChannel, people
from tests.rig.notify_rig import ANNOUNCEMENT, BUYABLE, KEYS, QUICK, SOLD_OUT, NotifyRig
from tests.rig.redis import Servers
from tests.rig.server import until

NO_LIST = AudienceRefused("lists knows no list early-bird. Lists there: early-birds")


async def test_gathering_until_the_first_claim(redis_url: str) -> None:
    """While the audience is read and nobody was claimed, the campaign is gathering."""
    audience = ModelAudience(people(5))
    audience.down = AudienceUnavailable("lists does not answer: 503", status=503)
    async with NotifyRig(redis_url, audience) as rig:
        rig.start()
        progress = await rig.until(lambda now: "503" in now.note)
        assert (State.GATHERING, "it is tried again: lists does not answer: 503") == (progress.state, progress.note)

        audience.down = None
        progress = await rig.until_over()
    assert (State.DONE, Counts(candidates=5, sent=5), "") == (progress.state, progress.counts, progress.note)


async def test_sending_while_messages_go_out(redis_url: str) -> None:
    """From the first claim on the campaign is sending, and says how many there are about."""
    async with NotifyRig(redis_url, ModelAudience(people(30)), ModelChannel(per_second=20)) as rig:
        rig.start()
        progress = await rig.until(lambda now: now.counts.sent > 2)

        assert (State.SENDING, 30) == (progress.state, progress.total)
        assert progress.started_at is not None


async def test_sending_while_all_who_are_left_wait(redis_url: str) -> None:
    """Where all were in flight at once and have to wait, the campaign is sending: somebody was written to already."""
    channel = ModelChannel(parallel=4, reply=GREYLISTED)
    async with NotifyRig(redis_url, ModelAudience(people(3)), channel) as rig:
        rig.start(times=replace(QUICK, first_wait=60.0))
        progress = await rig.until(lambda now: now.counts.waiting == 3 and now.state is not State.GATHERING)

        assert (State.SENDING, Counts(candidates=3, waiting=3), "") == (progress.state, progress.counts, progress.note)


async def test_paused_while_the_relay_refuses_us(redis_url: str) -> None:
    """A relay that refuses our password pauses the channel with cause and cure, blames nobody, and it goes on by itself."""
    async with NotifyRig(redis_url, ModelAudience(people(12)), ModelChannel(parallel=1, reply=REJECTS_US)) as rig:
        rig.start()
        progress = await rig.until(lambda now: now.state is State.PAUSED)
        assert "mail: it refuses our password. correct NOTIFY_SMTP_URL" == progress.note
        assert (1, 1) == (progress.counts.candidates, progress.counts.waiting)
        assert 1 == len(rig.channel.tries)

        rig.channel.reply = SENT
        await rig.store.do("HSET", "tc:{notify:mail}:state", "next_probe", time.time() - 1)
        progress = await rig.until_over()
    assert (State.DONE, Counts(candidates=12, sent=12)) == (progress.state, progress.counts)


async def test_ten_faults_pause_and_use_up_nobodys_tries(redis_url: str) -> None:
    """A relay that is down pauses after ten tries; when it is back everyone gets the message."""
    async with NotifyRig(redis_url, ModelAudience(people(40)), ModelChannel(parallel=1, reply=DOWN)) as rig:
        rig.start()
        progress = await rig.until(lambda now: now.state is State.PAUSED)
        assert (10, 10) == (progress.counts.candidates, progress.counts.waiting)

        rig.channel.reply = SENT
        await rig.servers.resume("mail")
        progress = await rig.until_over()
    assert Counts(candidates=40, sent=40) == progress.counts


async def test_every_message_names_the_tickets_that_joined(redis_url: str) -> None:
    """A ticket that joins while the offer is looked at is in every message; one that comes after the first message is in none."""
    joined: list[bool] = []
    async with NotifyRig(redis_url, ModelAudience(people(8))) as rig:

        async def offer(one: Campaign) -> Offer:
            joined.append(await rig.campaigns.join(SITE, one.name, [TicketId(f"joins {len(joined)}")]))
            return Offer(replace(ANNOUNCEMENT, title=" ".join(one.tickets)), buyable=True)

        rig.start(offer=offer)
        await rig.until_over()
        tickets = (await rig.campaigns.of_site(SITE))[0].tickets

    assert [True, False] == [joined[0], joined[-1]]
    assert {" ".join(tickets)} == {one.announcement.title for one in rig.channel.taken}
    assert 8 == len(rig.channel.taken)


async def test_paused_where_the_tool_refuses_us(redis_url: str) -> None:
    """A list that there is not pauses the campaign with what to do, and it goes on when there is one."""
    audience = ModelAudience(people(4))
    audience.down = NO_LIST
    async with NotifyRig(redis_url, audience) as rig:
        rig.start()
        with capture_logs() as lines:
            progress = await rig.until(lambda now: now.state is State.PAUSED)
            asked = len(audience.pages)
            await until(lambda: len(audience.pages) >= asked + 3)
        assert str(NO_LIST) == progress.note

        audience.down = None
        progress = await rig.until_over()
    assert (State.DONE, 4) == (progress.state, progress.counts.sent)
    [line] = [one for one in lines if one["event"] == "audience_refused"]
    assert ("warning", rig.campaign.name, "mail", str(NO_LIST)) == tuple(
        line[name] for name in ("log_level", "campaign", "channel", "error")
    )


async def test_withdrawn_while_nothing_can_be_bought_and_goes_on(redis_url: str) -> None:
    """Sold out holds the rest back with the reason, and it goes on when a ticket can be bought again."""
    async with NotifyRig(redis_url, ModelAudience(people(60)), ModelChannel(per_second=100, parallel=2)) as rig:
        rig.start()
        await rig.until(lambda now: now.counts.sent >= 5)
        rig.offer = SOLD_OUT
        progress = await rig.until(lambda now: now.state is State.WITHDRAWN)
        assert "sold out" == progress.note
        # What was on its way to its claim when the offer was looked at goes out still: no more than the channel takes at once.
        await asyncio.sleep(0.2)
        held = len(rig.channel.tries)
        looks = rig.offers_looked_at
        await until(lambda: rig.offers_looked_at >= looks + 3)
        assert held == len(rig.channel.tries) < 60

        rig.offer = BUYABLE
        progress = await rig.until_over()
    assert (State.DONE, Counts(candidates=60, sent=60)) == (progress.state, progress.counts)


async def test_withdrawn_before_the_first_message(redis_url: str) -> None:
    """The offer is looked at before the first message: of what is gone already nobody hears."""
    async with NotifyRig(redis_url, ModelAudience(people(5)), deadline=time.time() + 0.5) as rig:
        rig.offer = Offer(None, buyable=False, reason="hidden or deleted")
        rig.start()
        progress = await rig.until_over()

    assert (State.WITHDRAWN, "hidden or deleted: 5 not sent") == (progress.state, progress.note)
    assert [] == rig.channel.tries


async def test_waiting_rows_are_withdrawn_at_the_deadline(redis_url: str) -> None:
    """Who waits for another try when the deadline comes is skipped, with the reason, so that the counts add up."""
    times = replace(QUICK, first_wait=0.4)
    channel = ModelChannel(reply=GREYLISTED)
    async with NotifyRig(redis_url, ModelAudience(people(3)), channel, times=times, deadline=time.time() + 1) as rig:
        rig.start()
        await rig.until(lambda now: now.counts.waiting == 3)
        rig.offer = SOLD_OUT
        progress = await rig.until_over()

    assert (State.WITHDRAWN, "sold out: 3 not sent") == (progress.state, progress.note)
    assert Counts(candidates=3, skipped=3) == progress.counts
    assert {(RowState.SKIPPED, Skip.WITHDRAWN): 3} == progress.reasons


async def test_time_is_over_while_the_relay_refuses_us(redis_url: str) -> None:
    """Where the relay refuses us until the deadline, the end says why, and how many were not told."""
    channel = ModelChannel(parallel=1, reply=REJECTS_US)
    async with NotifyRig(redis_url, ModelAudience(people(5)), channel, deadline=time.time() + 1) as rig:
        rig.start()
        progress = await rig.until_over()
    note = "5 not sent: mail: it refuses our password. correct NOTIFY_SMTP_URL"
    assert (State.TOO_LATE, note) == (progress.state, progress.note)
    assert Counts(candidates=1, skipped=1) == progress.counts


async def test_time_is_over_while_the_tool_does_not_answer(redis_url: str) -> None:
    """Where the tool does not answer until the deadline, the end says so."""
    audience = ModelAudience(people(5))
    audience.down = AudienceUnavailable("lists does not answer: 503", status=503)
    async with NotifyRig(redis_url, audience, deadline=time.time() + 1) as rig:
        rig.start()
        progress = await rig.until_over()
    assert State.TOO_LATE == progress.state
    assert progress.note.endswith("not sent: lists does not answer: 503")


async def test_stopped_rows_are_skipped_only_at_the_deadline(redis_url: str) -> None:
    """Who waits in a campaign that a person stopped can be tried again until the deadline, and is skipped then."""
    times = replace(QUICK, first_wait=0.3)
    channel = ModelChannel(reply=GREYLISTED)
    async with NotifyRig(redis_url, ModelAudience(people(3)), channel, times=times, deadline=time.time() + 1.5) as rig:
        rig.start()
        await rig.until(lambda now: now.counts.waiting == 3)
        await rig.campaigns.stop(rig.campaign.site, rig.campaign.name, "Ada")
        progress = await rig.until(lambda now: now.state is State.STOPPED)
        assert 3 == progress.counts.waiting
        progress = await rig.until(lambda now: now.counts.skipped == 3)

    assert {(RowState.SKIPPED, Skip.STOPPED): 3} == progress.reasons


async def test_missing_key_sends_nothing(redis_url: str) -> None:
    """Where a key is missing under which somebody opted out, nothing is sent, and it says which to put back."""
    old = KeyRing(["another key of the tests, long enough too"])
    async with NotifyRig(redis_url, ModelAudience(people(3))) as rig:
        hashes = old.hashes(Purpose.SUPPRESSION, "model:list", "p1@example.org")
        await rig.suppressions.add(rig.campaign.site, hashes, "opted out")
        rig.start()
        progress = await rig.until(lambda now: now.state is State.PAUSED)

        assert f"NOTIFY_KEYS lacks a key by which recipients are known ({old.ids[0]})" in progress.note
        assert [] == rig.channel.tries
        assert KEYS.ids[0] not in progress.note


async def test_offer_is_looked_at_after_so_many_messages(redis_url: str) -> None:
    """The offer is looked at after a number of messages, however fast they go out."""
    times = replace(QUICK, look=60.0, look_after=10)
    async with NotifyRig(redis_url, ModelAudience(people(50)), times=times) as rig:
        rig.start()
        await rig.until_over()

    assert 5 <= rig.offers_looked_at <= 7


async def test_redis_away_claims_nothing_and_loses_no_result(redis_server: Servers) -> None:
    """While Redis is away nothing is claimed; what was sent meanwhile is marked when it is back, and nothing is sent twice."""
    server = redis_server()
    channel = ModelChannel(parallel=2)
    async with NotifyRig(server.url, ModelAudience(people(20)), channel) as rig:
        channel.on_try = lambda _: channel.gate.clear() if len(channel.tries) == 6 else None
        rig.start()
        await until(lambda: channel.at_once == 2 and not channel.gate.is_set())
        channel.on_try = None
        server.kill()
        channel.gate.set()
        await until(lambda: len(channel.taken) >= 6)
        tries = len(channel.tries)
        server.start()
        progress = await rig.until_over(30)

    assert tries <= 7
    assert Counts(candidates=20, sent=20) == progress.counts
    assert sorted(people(20)) == sorted(channel.addresses)
