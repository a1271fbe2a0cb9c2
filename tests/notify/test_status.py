import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from server.campaign import Campaign, ChannelName, RowState, State
from server.counter import Rules
from server.model import EventId
from server.notify.config import EventAudience, MailSettings, NotifyConfig, PushSettings, Tool
from server.notify.status import Statuses
from server.redis.client import RedisClient
from server.store.campaigns import Campaigns
from server.store.channel_servers import ChannelServers
from server.store.notify_requests import NotifyRequests, RequestKind
from server.store.outbox import Outbox
from server.store.schedule import Schedule
from tests.rig.campaigns import SITE, campaign
from tests.rig.stored_event import store_event

MAIL = MailSettings(SecretStr("smtp://relay.example.org"), "news@bücher.example", "Hall", "1 Street", "", "")
AUDIENCE = EventAudience("spring-gala", Tool("x", "csv"), push=True)
CONFIG = NotifyConfig(
    Path("notify.toml"), {"spring-gala": AUDIENCE}, "https://x.example", MAIL, PushSettings((), "", per_second=50.0)
)


def statuses(store: RedisClient, config: NotifyConfig = CONFIG, later: float = 0.0) -> Statuses:
    return Statuses(store, config, clock=lambda: time.time() + later)


async def opened(store: RedisClient, **changes: Any) -> Campaign:
    found = await Campaigns(store).open(campaign(**changes))
    assert found is not None
    return found


async def sent(store: RedisClient, one: Campaign, *states: RowState) -> Outbox:
    """A worker that has mailed so many recipients of ten."""
    outbox = Outbox(store, one, ChannelName.MAIL, "worker")
    assert await outbox.take()
    await outbox.note(State.SENDING, "note", total=10)
    for number, state in enumerate(states):
        await outbox.claim(f"row{number}", ())
        await outbox.mark(f"row{number}", state, "reason")
    return outbox


async def test_campaign_that_runs(store: RedisClient) -> None:
    """Each channel of the event has its counts, its limit, whether a worker runs it, and the Message-IDs of unknown mails."""
    one = await opened(store)
    await sent(store, one, RowState.SENT, RowState.UNKNOWN, RowState.FAILED)
    [report] = await statuses(store).campaigns([SITE])

    mail, push = report.channels
    assert (one.name, State.SENDING, "note", True) == (report.campaign.name, mail.state, mail.note, mail.running)
    assert (3, 1, 1, 1, 10) == (
        mail.counts.candidates,
        mail.counts.sent,
        mail.counts.unknown,
        mail.counts.failed,
        mail.candidates,
    )
    assert ("<tc.row1@xn--bcher-kva.example>",) == mail.message_ids
    assert (25.0, 50.0) == (mail.per_second, push.per_second)
    assert (ChannelName.PUSH, State.GATHERING, False, ()) == (
        push.progress.channel,
        push.state,
        push.running,
        push.message_ids,
    )


async def test_newest_campaigns_first(store: RedisClient) -> None:
    """Campaigns of all sites are listed, the newest start first."""
    start = time.time()
    for name, age in (("b", 20), ("a", 10), ("c", 30)):
        await opened(store, name=name, start=start - age, tickets=())

    assert ["a", "b", "c"] == [one.campaign.name for one in await statuses(store).campaigns([SITE])]


@pytest.mark.parametrize(
    ("how", "later", "state", "note"),
    [
        ("runs", 0, State.SENDING, "note"),
        ("runs", 10_000, State.TOO_LATE, "no worker ran at its end: 9 not sent"),
        ("stopped", 0, State.STOPPED, "9 not sent"),
        ("ended", 0, State.WITHDRAWN, "sold out: 9 not sent"),
        ("ended", 10_000, State.WITHDRAWN, "sold out: 9 not sent"),
    ],
)
async def test_state_as_it_is_now(store: RedisClient, how: str, later: float, state: State, note: str) -> None:
    """The state is what the worker wrote, unless a person or the clock has decided since."""
    one = await opened(store)
    outbox = await sent(store, one, RowState.SENT)
    if how == "stopped":
        await Campaigns(store).stop(SITE, one.name, "me")
    elif how == "ended":
        await outbox.finish(State.WITHDRAWN, "sold out: 9 not sent")
    current = await Campaigns(store).read(SITE, one.name)
    assert current is not None
    report = await statuses(store, later=later).report(current)

    assert (state, note) == (report.channels[0].state, report.channels[0].note)


async def test_campaign_that_was_missed(store: RedisClient) -> None:
    """A record of what was missed is too late, and says why; one that no worker saw before its end says so too."""
    await Campaigns(store).record_too_late(
        campaign(name="missed", start=time.time() - 10_000, deadline=time.time() - 10)
    )
    [report] = await statuses(store).campaigns([SITE])

    assert [(State.TOO_LATE, "no worker saw it on sale in time: not sent")] * 2 == [
        (one.state, one.note) for one in report.channels
    ]
    unseen = await opened(store, name="unseen", tickets=())
    report = await statuses(store, later=10_000).report(unseen)
    assert "no worker ran at its end: not sent" == report.channels[0].note


async def test_event_that_is_no_longer_named(store: RedisClient) -> None:
    """Of an event that notify.toml does not name any more, the channels on which something was sent are shown still."""
    one = await opened(store)
    nothing = NotifyConfig(Path("notify.toml"), {}, "")
    assert () == (await statuses(store, nothing).report(one)).channels

    await sent(store, one, RowState.UNKNOWN)
    [mail] = (await statuses(store, nothing).report(one)).channels
    assert (1, None, ()) == (mail.counts.unknown, mail.per_second, mail.message_ids)


async def test_servers_that_are_paused(store: RedisClient) -> None:
    """A relay or a push service that is paused is told with its cause, what helps, and when it is tried next."""
    servers = ChannelServers(store)
    await servers.failed("mail", "refused the sender", "Allow it there", pause_now=True)
    await servers.failed("push push.example", "busy", "", pause_now=False)

    [found] = await statuses(store).paused()
    assert ("mail", "refused the sender", "Allow it there") == (found.name, found.reason, found.cure)
    assert found.since is not None
    assert found.next_try is not None
    assert found.since < found.next_try


async def test_requests_that_wait(store: RedisClient) -> None:
    """Requests of visitors that a tool has not got yet are counted, with what it said."""
    requests = NotifyRequests(store)
    assert () == await statuses(store).backlogs([SITE])
    await requests.opt_out(SITE, "csv readers.csv", "token", "hash")

    [found] = await statuses(store).backlogs([SITE])
    assert (SITE, "opt-out", 1, 0, {}) == (found.site, found.kind, found.waiting, found.parked, found.faults)
    assert found.oldest is not None


async def test_sign_ups_name_their_event(store: RedisClient) -> None:
    """A sign-up is told by the event's name in notify.toml, while it is tried again and once it is given up."""
    event = EventId("0b5f1a2e-4444-4444-8444-00000000e001")
    await Schedule(store).add_site(SITE, Rules(), everything=True)
    await store_event(store, SITE, event, "spring-gala", "Spring Gala")
    requests = NotifyRequests(store)
    for number, for_good in enumerate((True, False)):
        await requests.sign_up(SITE, event, "token", f"hash{number}", "sender")
        request = await requests.claim(SITE, RequestKind.SIGN_UP)
        assert request is not None
        await requests.failed(request, f"reason {number}", for_good=for_good)

    [found] = await statuses(store).backlogs([SITE])
    assert (1, 1) == (found.waiting, found.parked)
    assert ({"spring-gala": "reason 1"}, {"spring-gala": "reason 0"}) == (found.faults, found.given_up)
