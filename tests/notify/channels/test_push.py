import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest

from server.addresses import PrivateAddress
from server.errors import NotStarted, RedisUnavailable
from server.notify.audience.push_subscriptions import member_of
from server.notify.channels import push as module
from server.notify.channels.channel import Reply, Result
from server.notify.channels.push_payload import LENGTH, MOST_ENCRYPTED
from server.push_subscription import PushSubscription
from server.store.push_subscriptions import Stored
from server.vapid import new_key
from tests.rig.push_rig import EVENT, PUBLIC_URL, SITE, PushRig

SERVER = "push 127.0.0.1"


async def kept(rig: PushRig, stored: Stored) -> bool:
    """Whether a subscription is still stored."""
    return await rig.subscriptions.read(SITE, stored.id) is not None


async def test_a_message_is_encrypted_and_signed(push_rig: PushRig) -> None:
    """The service takes and decrypts a message that is urgent, lives until the deadline, and belongs to the campaign's topic."""
    browser, stored = await push_rig.confirmed()
    reply = await push_rig.push.send(push_rig.delivery(stored))

    assert Reply(Result.SENT, SERVER, code="201") == reply
    [pushed] = push_rig.service.messages(browser)
    assert {
        "web_push": 8030,
        "notification": {
            "title": "Tickets are on sale: Spring Gala",
            "body": "Early bird. The page shows what is left.",
            "lang": "en",
            "dir": "ltr",
            "navigate": f"{PUBLIC_URL}/tell-me?event={EVENT}&site={SITE}",
            "tag": pushed.headers["topic"],
        },
    } == pushed.payload
    assert 3590 < int(pushed.headers["ttl"]) <= 3600
    assert "high" == pushed.headers["urgency"]
    assert 32 == len(pushed.headers["topic"])
    assert "mailto:tickets@example.org" == pushed.claims["sub"]
    assert 12 * 3600 - 60 < pushed.claims["exp"] - time.time() <= 12 * 3600


async def test_all_messages_have_one_size(push_rig: PushRig) -> None:
    """A first push, a short message and a long one have the same size, below what each browser's service takes."""
    browser, stored = await push_rig.confirmed()
    await push_rig.push.send(push_rig.delivery(stored))
    await push_rig.push.first(stored, "ב" * 5000)

    assert {LENGTH + 103} == {one.size for one in push_rig.service.messages(browser)}
    assert LENGTH + 103 <= MOST_ENCRYPTED


async def test_topic_is_of_the_campaign(push_rig: PushRig) -> None:
    """Messages of one campaign replace each other, and those of another one do not."""
    browser, stored = await push_rig.confirmed()
    for name in ("one", "one", "two"):
        await push_rig.push.send(push_rig.delivery(stored, campaign=name))
    first, second, other = (one.headers["topic"] for one in push_rig.service.messages(browser))

    assert first == second != other


@pytest.mark.parametrize(("left", "ttl"), [(0.2, "1"), (-50.0, "1"), (90.7, "90"), (1e9, str(module.LONGEST_TTL))])
async def test_ttl_is_what_is_left(push_rig: PushRig, left: float, ttl: str) -> None:
    """A message lives until the deadline, never zero seconds, which some services refuse, and no longer than services keep it."""
    browser, stored = await push_rig.confirmed()
    channel = push_rig.channel(clock=lambda: 5_000.0)
    push_rig.service._claims = lambda *_: {}  # type: ignore[method-assign] # its clock is another one
    await channel.send(push_rig.delivery(stored, deadline=5_000.0 + left))

    assert [ttl] == [one.headers["ttl"] for one in push_rig.service.messages(browser)]


async def test_first_push_brings_its_token(push_rig: PushRig) -> None:
    """The token in a first push confirms its subscription; the service worker runs before it is shown."""
    browser, stored = await push_rig.browser("de-AT")
    assert Result.SENT is (await push_rig.push.first(stored, "Frühlingsball")).result
    [pushed] = push_rig.service.messages(browser)
    said = pushed.payload["notification"]
    address, _, token = said["navigate"].partition("#confirm=")

    assert pushed.payload["mutable"] is True
    assert ("de", "Sie werden benachrichtigt") == (said["lang"], said["title"])
    assert "Frühlingsball" in said["body"]
    assert f"{PUBLIC_URL}/tell-me?event={EVENT}&site={SITE}" == address
    assert 3500 < int(pushed.headers["ttl"]) <= 3600
    assert await push_rig.subscriptions.confirm(token)


@pytest.mark.parametrize("status", [404, 410])
async def test_ended_subscriptions_are_removed(push_rig: PushRig, status: int) -> None:
    """What the service no longer knows is a fault of this recipient, and its subscription is removed."""
    _, stored = await push_rig.confirmed()
    push_rig.service.behave(status)
    reply = await push_rig.push.send(push_rig.delivery(stored))

    assert (Result.FAILED, str(status), False) == (reply.result, reply.code, reply.pause)
    assert not await kept(push_rig, stored)
    reply = await push_rig.push.send(push_rig.delivery(stored))
    assert (Result.FAILED, "it is no longer subscribed") == (reply.result, reply.reason)
    assert 1 == len(push_rig.service.requests)


@pytest.mark.parametrize(
    ("status", "headers", "pause", "wait"),
    [
        (429, {"Retry-After": "120"}, False, 120.0),
        (503, {"Retry-After": "30"}, False, 30.0),
        (503, {}, False, None),
        (500, {}, False, None),
        (400, {}, True, None),
        (401, {}, True, None),
        (403, {}, True, None),
        (413, {}, True, None),
        (302, {"Location": "http://127.0.0.1:1/"}, False, None),
    ],
)
async def test_faults_that_are_not_the_recipient_s(
    push_rig: PushRig, status: int, headers: dict[str, str], pause: bool, wait: float | None
) -> None:
    """A service that refuses us, is busy or out of order ends no subscription; what would meet all others pauses it, with a cure."""
    _, stored = await push_rig.confirmed()
    push_rig.service.behave(status, headers=headers)
    reply = await push_rig.push.send(push_rig.delivery(stored))

    assert (Result.SERVER_FAULT, SERVER, str(status)) == (reply.result, reply.server, reply.code)
    assert (pause, wait) == (reply.pause, reply.retry_after)
    assert bool(reply.cure) == pause
    assert await kept(push_rig, stored)
    assert 1 == len(push_rig.service.requests)


async def test_what_was_posted_and_not_answered_is_unknown(push_rig: PushRig) -> None:
    """A line that is cut after the request, and an answer that does not come in time, leave it unknown."""
    _, stored = await push_rig.confirmed()
    push_rig.service.behave(cut=True)
    cut = await push_rig.push.send(push_rig.delivery(stored))
    push_rig.service.behave(slow=5.0)
    slow = await push_rig.channel(within=0.3).send(push_rig.delivery(stored))

    assert [(Result.UNKNOWN, False)] * 2 == [(one.result, one.pause) for one in (cut, slow)]
    assert await kept(push_rig, stored)


async def test_what_was_not_posted_is_a_fault_of_the_server(push_rig: PushRig) -> None:
    """Where no connection is made nothing was handed over, so it may be tried again."""
    _, stored = await push_rig.confirmed()
    one = stored.subscription
    moved = PushSubscription("http://127.0.0.1:9/push/x", one.p256dh, one.auth, one.key)
    reply = await push_rig.push._post(replaced(stored, moved), b"x", "topic", time.time() + 60)

    assert (Result.SERVER_FAULT, SERVER, "") == (reply.result, reply.server, reply.code)


def replaced(stored: Stored, one: PushSubscription) -> Stored:
    """The same with another subscription."""
    return Stored(stored.site, stored.id, stored.event, one, stored.language, stored.at, stored.confirmed)


async def test_each_subscription_keeps_its_key(push_rig: PushRig) -> None:
    """After a new key old subscriptions get messages with theirs, and new ones with the new one; without it nothing is sent or removed."""
    old, stored_old = await push_rig.confirmed()
    first = push_rig.keys[0]
    push_rig.keys = [new_key(), first]
    new, stored_new = await push_rig.confirmed()
    both = push_rig.channel()
    for stored in (stored_old, stored_new):
        assert Result.SENT is (await both.send(push_rig.delivery(stored))).result

    assert [1, 1] == [len(push_rig.service.messages(one)) for one in (old, new)]
    push_rig.keys = push_rig.keys[:1]
    reply = await push_rig.channel().send(push_rig.delivery(stored_old))
    assert (Result.FAILED, module.OUR_KEY) == (reply.result, reply.cure)
    assert await kept(push_rig, stored_old)


async def test_hosts_are_looked_at_again(push_rig: PushRig) -> None:
    """A host that the settings name no longer is not connected to, and its subscription stays."""
    _, stored = await push_rig.confirmed()
    reply = await push_rig.channel(hosts=()).send(push_rig.delivery(stored))

    assert (Result.FAILED, "its push service is not known here") == (reply.result, reply.reason)
    assert [] == push_rig.service.requests
    assert await kept(push_rig, stored)


async def test_a_known_name_at_a_private_address(push_rig: PushRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A known host whose name leads to our own network is not connected to."""
    asked: list[str] = []

    async def private(host: str, _: int) -> Sequence[str]:
        asked.append(host)
        raise PrivateAddress("it is not public")

    monkeypatch.setattr(module, "public_addresses", private)
    _, stored = await push_rig.confirmed()
    one = stored.subscription
    moved = PushSubscription("https://fcm.googleapis.com/fcm/send/x", one.p256dh, one.auth, one.key)
    reply = await push_rig.push._post(replaced(stored, moved), b"x", "topic", time.time() + 60)

    assert ["fcm.googleapis.com"] == asked
    assert (Result.SERVER_FAULT, "push fcm.googleapis.com") == (reply.result, reply.server)


async def test_an_unconfirmed_one_gets_no_campaign(push_rig: PushRig) -> None:
    """A subscription whose token has not come back gets nothing but its first push."""
    _, stored = await push_rig.browser()
    reply = await push_rig.push.send(push_rig.delivery(stored))

    assert (Result.FAILED, "it is no longer subscribed") == (reply.result, reply.reason)


async def test_redis_that_does_not_answer(push_rig: PushRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Redis nothing is sent, and the recipient waits; one that has ended is found again later."""
    _, stored = await push_rig.confirmed()

    async def down(*_: Any) -> Any:
        raise RedisUnavailable("down")

    monkeypatch.setattr(push_rig.subscriptions, "remove", down)
    push_rig.service.behave(410)
    assert Result.FAILED is (await push_rig.push.send(push_rig.delivery(stored))).result
    monkeypatch.setattr(push_rig.subscriptions, "read", down)
    assert Result.AGAIN is (await push_rig.push.send(push_rig.delivery(stored))).result


async def test_a_large_answer_is_not_read(push_rig: PushRig) -> None:
    """Of an answer only so much is read: its status says all."""
    _, stored = await push_rig.confirmed()

    async def large(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 100_000)
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(large, "127.0.0.1", 0)
    one = stored.subscription
    port = server.sockets[0].getsockname()[1]
    moved = PushSubscription(f"http://127.0.0.1:{port}/x", one.p256dh, one.auth, one.key)
    reply = await push_rig.push._post(replaced(stored, moved), b"x", "topic", time.time() + 60)
    server.close()

    assert Result.SENT is reply.result


async def test_settings_that_cannot_be_used(push_rig: PushRig) -> None:
    """A contact that push services refuse is told at the start."""
    with pytest.raises(NotStarted):
        push_rig.channel(contact="x@localhost")
    _, stored = await push_rig.confirmed()
    assert (50.0, 8) == (push_rig.push.per_second, push_rig.push.parallel)
    assert SERVER == push_rig.push.server(member_of(stored))
