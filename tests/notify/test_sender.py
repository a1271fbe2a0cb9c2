"""One recipient: what comes of each reply, of consent and of opt-outs."""

import time
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from server.campaign import ChannelName, Counts, RowState, Skip
from server.keyring import Purpose
from server.notify.channels.channel import Reply, Result
from server.notify.sender import NO_ADDRESS
from tests.rig.campaigns import SITE
from tests.rig.notify_models import GREYLISTED, NO_ANSWER, REFUSED, SENT, ModelAudience, ModelChannel, people
from tests.rig.notify_rig import ANNOUNCEMENT, KEYS, QUICK, NotifyRig

ADA = "p0@example.org"


@pytest.mark.parametrize(
    ("reply", "state", "reason"),
    [
        (SENT, RowState.SENT, None),
        (REFUSED, RowState.FAILED, "5.1.1 no such mailbox"),
        (NO_ANSWER, RowState.UNKNOWN, "no answer after the message was handed over"),
    ],
)
async def test_only_a_reply_tells(redis_url: str, reply: Reply, state: RowState, reason: str | None) -> None:
    """Law 17: a good reply is sent, a refusal failed, no reply unknown; none is tried again."""
    channel = ModelChannel(script={ADA: [reply]})
    async with NotifyRig(redis_url, ModelAudience(people(1)), channel) as rig:
        rig.start()
        progress = await rig.until_over()

    assert replace(Counts(candidates=1), **{state.value: 1}) == progress.counts
    assert ({(state, reason): 1} if reason else {}) == progress.reasons
    assert 1 == len(channel.tries)


async def test_recipient_who_was_put_off_is_tried_again(redis_url: str) -> None:
    """A recipient who is put off is tried again, with the same row, and is sent in the end."""
    channel = ModelChannel(script={ADA: [GREYLISTED, GREYLISTED]})
    async with NotifyRig(redis_url, ModelAudience(people(3)), channel) as rig:
        rig.start()
        progress = await rig.until_over()

    assert Counts(candidates=3, sent=3) == progress.counts
    assert 3 == len([one for one in channel.tries if one.address == ADA])
    assert 1 == len({one.row for one in channel.tries if one.address == ADA})


async def test_fifth_try_is_the_last(redis_url: str) -> None:
    """A recipient who is put off five times is failed, with the reason."""
    times = replace(QUICK, first_wait=0.01)
    channel = ModelChannel(reply=GREYLISTED)
    async with NotifyRig(redis_url, ModelAudience(people(1)), channel, times=times) as rig:
        rig.start()
        progress = await rig.until_over()

    assert {(RowState.FAILED, GREYLISTED.reason): 1} == progress.reasons
    assert 5 == len(channel.tries)


async def test_no_try_after_the_deadline(redis_url: str) -> None:
    """A recipient who cannot be tried again in time is failed at once, and says so."""
    times = replace(QUICK, first_wait=3600.0)
    channel = ModelChannel(reply=GREYLISTED)
    async with NotifyRig(redis_url, ModelAudience(people(1)), channel, times=times, deadline=time.time() + 60) as rig:
        rig.start()
        progress = await rig.until_over()

    assert {(RowState.FAILED, "4.2.0 try again later; no time is left for another try"): 1} == progress.reasons


async def test_consent_is_asked_for_just_before_the_message(redis_url: str) -> None:
    """Who left since the page was read, or wants no mail for the time being, gets none, and is counted with the reason."""
    audience = ModelAudience(people(6))

    def leave(number: int) -> None:
        audience.leave("p1@example.org")
        audience.turn_delivery_off("p2@example.org")

    audience.on_page = leave
    async with NotifyRig(redis_url, audience) as rig:
        rig.start()
        progress = await rig.until_over()

    assert {(RowState.SKIPPED, Skip.OPTED_OUT): 1, (RowState.SKIPPED, Skip.DELIVERY_OFF): 1} == progress.reasons
    assert {"p0@example.org", *people(3, 3)} == set(rig.channel.addresses)
    assert set(people(6)) == set(audience.asked)


async def test_opt_out_outlives_the_tools_list(redis_url: str) -> None:
    """Whoever opted out gets nothing, though the tool names them still, written in another way."""
    async with NotifyRig(redis_url, ModelAudience(["Ada@EXAMPLE.org", "bo@example.org"])) as rig:
        await rig.suppressions.add(SITE, rig.suppressed("ada@example.org"), "opted out")
        rig.start()
        progress = await rig.until_over()

    assert {(RowState.SKIPPED, Skip.SUPPRESSED): 1} == progress.reasons
    assert ["bo@example.org"] == rig.channel.addresses


async def test_opt_out_while_it_runs_is_heeded(redis_url: str) -> None:
    """An opt-out counts from the moment at which it is written, also for whoever was read before."""
    channel = ModelChannel(parallel=1)
    audience = ModelAudience(people(5))
    async with NotifyRig(redis_url, audience, channel) as rig:
        channel.gate.clear()
        rig.start()
        await rig.until(lambda now: now.counts.claimed == 1)
        await rig.suppressions.add(SITE, rig.suppressed("p4@example.org"), "opted out")
        channel.gate.set()
        progress = await rig.until_over()

    assert Counts(candidates=5, sent=4, skipped=1) == progress.counts
    assert "p4@example.org" not in channel.addresses


async def test_unusable_address_is_counted(redis_url: str) -> None:
    """An address that no mail can be sent to is failed, and no relay sees it."""
    async with NotifyRig(redis_url, ModelAudience(["no address", ADA])) as rig:
        rig.start()
        progress = await rig.until_over()

    assert {(RowState.FAILED, NO_ADDRESS): 1} == progress.reasons
    assert [ADA] == rig.channel.addresses


async def test_one_mailbox_in_two_spellings_is_one_recipient(redis_url: str) -> None:
    """Two ways to write one mailbox get one message."""
    async with NotifyRig(redis_url, ModelAudience([ADA, ADA.upper(), f" {ADA} "])) as rig:
        rig.start()
        progress = await rig.until_over()

    assert Counts(candidates=1, sent=1) == progress.counts


async def test_message_has_what_the_channel_needs(redis_url: str) -> None:
    """A delivery has the row, the language with texts, the deadline, and a link to leave that names this one recipient."""
    audience = ModelAudience()
    audience.subscribe(ADA, "de-AT")
    audience.subscribe("bo@example.org", "fr")
    async with NotifyRig(redis_url, audience) as rig:
        rig.start()
        await rig.until_over()
        deliveries = {one.address: one for one in rig.channel.taken}
        row = rig.row(ADA)

    ada = deliveries[ADA]
    assert (row, "de", rig.campaign.deadline, ANNOUNCEMENT) == (ada.row, ada.language, ada.deadline, ada.announcement)
    assert "en" == deliveries["bo@example.org"].language
    start, _, token = ada.unsubscribe.partition("/u/")
    assert "https://tickets.example.org" == start
    content = {"s": SITE, "p": "model:list", "e": "spring-gala", "a": ADA}
    assert content == KEYS.decrypt(Purpose.UNSUBSCRIBE, token)


async def test_bug_of_a_channel_is_unknown(redis_url: str) -> None:
    """Where the channel raises, the message may have been handed over: unknown, and the log has no address."""

    def fail(_: object) -> None:
        raise ValueError(f"{ADA} is not as expected")

    async with NotifyRig(redis_url, ModelAudience(people(1)), ModelChannel(on_try=fail)) as rig:
        with capture_logs() as lines:
            rig.start()
            progress = await rig.until_over()

    assert Counts(candidates=1, unknown=1) == progress.counts
    assert ADA not in str(lines)
    assert "ValueError" == next(one for one in lines if one["event"] == "notify_bug")["error"]


async def test_messages_keep_the_pace(redis_url: str) -> None:
    """All workers together send no more a second than the channel's pace."""
    channel = ModelChannel(per_second=40, parallel=10)
    async with NotifyRig(redis_url, ModelAudience(people(40)), channel) as rig:
        began = time.monotonic()
        rig.start()
        rig.start()
        await rig.until_over()

    # A quarter of a second's worth may go out at once.
    assert 0.7 <= time.monotonic() - began


async def test_push_service_that_asks_for_it_waits_alone(redis_url: str) -> None:
    """Law 17: Retry-After of one push service holds its own recipients back, unclaimed, and no others."""
    slow = [f"https://slow.example/{number}" for number in range(6)]
    quick = [f"https://quick.example/{number}" for number in range(6)]
    wait = Reply(Result.AGAIN, "", "too many requests", "429", retry_after=1.0)
    channel = ModelChannel(ChannelName.PUSH, parallel=1, script={slow[0]: [wait]})
    async with NotifyRig(redis_url, ModelAudience(slow + quick), channel) as rig:
        rig.start()
        progress = await rig.until(lambda now: now.counts.sent == 6)
        assert set(quick) == set(channel.addresses)
        assert (7, 1) == (progress.counts.candidates, progress.counts.waiting)
        progress = await rig.until_over()

    assert Counts(candidates=12, sent=12) == progress.counts
