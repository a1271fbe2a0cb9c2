import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from server.errors import RedisUnavailable
from server.model import EventId, SiteId
from server.notify import confirmations as module
from server.notify.channels.channel import Reply
from server.notify.confirmations import Confirmations
from server.store.channel_servers import ChannelServers
from server.store.notify_events import NotifyEvents
from server.store.push_subscriptions import Stored
from server.timed_event import TimedEvent
from server.vapid import new_key, public_key
from tests.rig.push_rig import EVENT, SITE, PushRig
from tests.rig.push_service import Subscriber
from tests.rig.server import until

SERVER = "push 127.0.0.1"


def confirmations(rig: PushRig) -> Confirmations:
    """The first pushes of one worker."""
    return Confirmations(rig.subscriptions, rig.push, lambda: [SITE, SiteId("other")], clock=time.time)


async def subscribed(rig: PushRig, language: str = "en") -> tuple[Subscriber, Stored]:
    """A browser that has subscribed, and whose first push is due."""
    browser, stored = await rig.browser(language)
    await due_again(rig)
    return browser, stored


async def due_again(rig: PushRig) -> None:
    """Have every first push that waits be due now."""
    key = rig.subscriptions._key(SITE, "first")
    for name in await rig.subscriptions.redis.do("ZRANGE", key, 0, -1):
        await rig.subscriptions.redis.do("ZADD", key, "XX", 1, name)


async def due_in(rig: PushRig) -> float | None:
    """Seconds until the only first push is due; None where none waits."""
    found = await rig.subscriptions.redis.do("ZRANGE", rig.subscriptions._key(SITE, "first"), 0, -1, "WITHSCORES")
    return float(dict(found).popitem()[1]) - time.time() if found else None


async def test_first_pushes_are_sent_once(push_rig: PushRig) -> None:
    """Each new subscription gets one first push, with the event's title, and none once that was taken."""
    await NotifyEvents(push_rig.subscriptions.redis).set(SITE, EventId(EVENT), title="Spring Gala")
    browsers = [(await subscribed(push_rig))[0] for _ in range(3)]
    sending = confirmations(push_rig)
    for _ in range(3):
        await sending.send_due()

    for browser in browsers:
        [pushed] = push_rig.service.messages(browser)
        assert "Spring Gala" in pushed.payload["notification"]["body"]
    assert await due_in(push_rig) is None


@pytest.mark.parametrize("status", [404, 410])
async def test_invented_ones_are_deleted(push_rig: PushRig, status: int) -> None:
    """What the push service does not know is deleted at once."""
    _, stored = await subscribed(push_rig)
    push_rig.service.behave(status)
    await confirmations(push_rig).send_due()

    assert await push_rig.subscriptions.read(SITE, stored.id) is None


async def test_another_s_key_pauses_nothing(push_rig: PushRig) -> None:
    """A visitor whose subscription was made with a key that is not ours makes the service refuse us, and hinders no campaign."""
    push_rig.keys.insert(0, new_key())
    browser, stored = await subscribed(push_rig)
    # It was subscribed with the first key, and says so; the service knows it by another.
    browser.key = public_key(new_key())
    push_rig.push = push_rig.channel()
    await confirmations(push_rig).send_due()

    assert ["another key than that of the subscription"] == push_rig.service.refused
    assert {} == await ChannelServers(push_rig.subscriptions.redis).all()
    assert await push_rig.subscriptions.read(SITE, stored.id) is not None
    wait = await due_in(push_rig)
    assert wait is not None
    assert module.FIRST_WAIT - 5 < wait <= module.FIRST_WAIT + 2


async def test_retry_after_is_obeyed_a_service(push_rig: PushRig) -> None:
    """A service that asks to wait gets nothing until then, neither from this nor from campaigns."""
    await subscribed(push_rig)
    push_rig.service.behave(429, headers={"Retry-After": "200"})
    sending = confirmations(push_rig)
    await sending.send_due()
    state = await ChannelServers(push_rig.subscriptions.redis).state(SERVER)
    assert 190 < state.wait_until - time.time() <= 200

    await due_again(push_rig)
    await sending.send_due()
    assert 1 == len(push_rig.service.requests)
    wait = await due_in(push_rig)
    assert wait is not None
    assert 190 < wait < 203


async def test_waits_grow_with_age(push_rig: PushRig) -> None:
    """What could not be sent is tried again later and later."""
    _, stored = await subscribed(push_rig)
    push_rig.service.behave(500)
    sending = Confirmations(push_rig.subscriptions, push_rig.push, lambda: [SITE], clock=lambda: stored.at + 1000.0)
    await sending.send_due()
    wait = await due_in(push_rig)

    assert wait is not None
    assert 990 < wait < 1003


class Scripted:
    """A first push that does what a test says."""

    def __init__(self, *faults: Exception) -> None:
        self.faults: Iterator[Exception] = iter(faults)
        self.asked = 0

    async def first(self, stored: Stored, title: str) -> Reply:
        """Raise the next fault."""
        del stored, title
        self.asked += 1
        raise next(self.faults)


async def test_faults_and_bugs_do_not_end_it(push_rig: PushRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that does not answer, and a bug, cost one round; what was claimed is due again, and it ends when it is told to."""
    monkeypatch.setattr("server.rounds.AFTER_BUG", 0.01)
    monkeypatch.setattr(module, "LOOK_EVERY", 0.01)
    browser, _ = await subscribed(push_rig)
    scripted = Scripted(RedisUnavailable("down"), ValueError(f"a bug at {browser.endpoint}"))
    running = Confirmations(push_rig.subscriptions, scripted, lambda: [SITE], clock=time.time)
    stopping = TimedEvent()
    with capture_logs() as lines:
        task = asyncio.create_task(running.run(stopping))
        for count in (1, 2):
            await until(lambda count=count: scripted.asked == count)  # type: ignore[misc]
            await due_again(push_rig)
            if count == 2:
                monkeypatch.setattr(running, "_push", push_rig.push)
        await until(lambda: push_rig.service.messages(browser))
        stopping.set()
        await task
    # Law 18: the error's words, which may name a browser, are not logged.
    [bug] = [one for one in lines if one["event"] == "notify_bug"]
    assert ("ValueError", False) == (bug["error"], "exc_info" in bug)
    assert browser.endpoint not in str(lines)


async def test_what_was_not_confirmed_is_deleted(push_rig: PushRig) -> None:
    """The worker deletes what was not confirmed within an hour, once a minute."""
    _, stored = await push_rig.browser()
    now = time.time()
    sending = Confirmations(push_rig.subscriptions, push_rig.push, lambda: [SITE], clock=lambda: now)
    key: Any = push_rig.subscriptions._key(SITE, "unconfirmed")
    await sending.send_due()
    await push_rig.subscriptions.redis.do("ZINCRBY", key, -3600, stored.id)
    await sending.send_due()
    assert await push_rig.subscriptions.read(SITE, stored.id) is not None
    now += module.EXPIRE_EVERY
    await sending.send_due()
    assert await push_rig.subscriptions.read(SITE, stored.id) is None


async def test_a_flood_is_paced(push_rig: PushRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """First pushes have a pace of their own for all workers, however many wait."""
    monkeypatch.setattr(module, "PER_SECOND", 20.0)
    for number in range(24):
        await push_rig.browser(address=f"192.0.2.{number}")
    await due_again(push_rig)
    began = time.monotonic()
    sending = confirmations(push_rig)
    while await sending.send_due():
        pass

    assert 24 == len(push_rig.service.taken)
    assert time.monotonic() - began > 0.8
