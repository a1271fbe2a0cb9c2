from typing import Any

import pytest

from server.model import EventId, SiteId
from server.push_subscription import LONGEST_ENDPOINT
from server.store import push_subscriptions as store
from server.store.notify_events import NotifyEvents
from server.tell_me.subscriptions import LONGEST_TOKEN
from server.vapid import new_key, public_key
from tests.rig.fake_reader import EVENT
from tests.rig.push_service import Subscriber
from tests.rig.server import SITE, TICKET
from tests.rig.tell_me_rig import TellMe


def content(tell_me: TellMe, browser: Subscriber | None = None, **more: Any) -> dict[str, Any]:
    """What the page sends to subscribe."""
    browser = browser or tell_me.service.subscribe(tell_me.key)
    return {"subscription": browser.json(), "key": tell_me.key, "language": "de-DE", **more}


async def count(tell_me: TellMe) -> int:
    """How many subscriptions count."""
    return await tell_me.subscriptions.count(SiteId(SITE), EventId(EVENT))


async def test_subscribe_confirm_unsubscribe(tell_me: TellMe) -> None:
    """A browser subscribes to the event of a ticket, its first push confirms it, and it leaves by its endpoint."""
    await tell_me.offer()
    browser = tell_me.service.subscribe(tell_me.key)
    sent = content(tell_me, browser)
    answer = await tell_me.post("subscribe", sent, f"ticket={TICKET}")
    assert (200, {"state": "waiting"}, "no-store") == (
        answer.status_code,
        answer.json(),
        answer.headers["cache-control"],
    )
    await tell_me.send_first()
    [pushed] = tell_me.service.messages(browser)
    assert "Sie werden benachrichtigt" == pushed.payload["notification"]["title"]
    token = pushed.payload["notification"]["navigate"].partition("#confirm=")[2]
    assert len(token) < LONGEST_TOKEN

    for _ in range(2):
        answer = await tell_me.post("confirm", {"token": token})
        assert (200, {"state": "confirmed"}, 1) == (answer.status_code, answer.json(), await count(tell_me))
        assert {"state": "confirmed"} == (await tell_me.post("subscribe", sent)).json()
    for _ in range(2):
        answer = await tell_me.post("unsubscribe", {"endpoint": browser.endpoint})
        assert (200, {"state": "off"}, 0) == (answer.status_code, answer.json(), await count(tell_me))
    assert 400 == (await tell_me.post("confirm", {"token": token})).status_code
    assert 1 == len(tell_me.service.messages(browser))


async def test_leaving_is_possible_when_the_event_is_over(tell_me: TellMe) -> None:
    """Who subscribed can leave although the event is told of no more."""
    await tell_me.offer()
    browser = tell_me.service.subscribe(tell_me.key)
    await tell_me.post("subscribe", content(tell_me, browser))
    await NotifyEvents(tell_me.store).set(SiteId(SITE), EventId(EVENT), push=None, sign_up=None)

    assert 404 == (await tell_me.post("subscribe", content(tell_me))).status_code
    assert 200 == (await tell_me.post("unsubscribe", {"endpoint": browser.endpoint})).status_code
    assert () == await tell_me.subscriptions.claim_first(SiteId(SITE), 10)


@pytest.mark.parametrize("path", ["subscribe", "confirm", "unsubscribe", "sign-up"])
@pytest.mark.parametrize(
    "origin", ["https://example.org", "null", "", "http://127.0.0.1", "http://127.0.0.1:1.example.org"]
)
async def test_only_our_own_page_may_ask(tell_me: TellMe, path: str, origin: str) -> None:
    """A page of another origin, and a request without one, changes nothing."""
    await tell_me.offer()
    answer = await tell_me.post(path, content(tell_me), origin=origin)

    assert 403 == answer.status_code
    assert [] == await tell_me.store.do("KEYS", "*notify:push*")


@pytest.mark.parametrize(
    ("path", "given", "status", "field"),
    [
        ("subscribe", {"key": "other"}, 409, "key"),
        ("subscribe", {"key": None}, 409, "key"),
        ("subscribe", {"subscription": None}, 400, "subscription"),
        ("subscribe", {"subscription": {"endpoint": "https://example.org/x", "keys": {}}}, 400, "endpoint"),
        ("subscribe", {"subscription": {"endpoint": "http://169.254.169.254/x", "keys": {}}}, 400, "endpoint"),
        ("confirm", {"token": "x"}, 400, "token"),
        ("confirm", {"token": 7}, 400, "token"),
        ("confirm", {"token": "x" * (LONGEST_TOKEN + 1)}, 400, "token"),
        ("confirm", {}, 400, "token"),
        ("unsubscribe", {"endpoint": 7}, 400, "endpoint"),
        ("unsubscribe", {"endpoint": "x" * (LONGEST_ENDPOINT + 1)}, 400, "endpoint"),
    ],
)
async def test_what_is_refused(tell_me: TellMe, path: str, given: dict[str, Any], status: int, field: str) -> None:
    """What is no subscription, token or endpoint is refused, with the member at fault, and leaves no key."""
    await tell_me.offer()
    sent = {**content(tell_me), **given} if path == "subscribe" else given
    answer = await tell_me.post(path, sent)

    assert (status, field) == (answer.status_code, answer.json()["error"]["field"])
    assert [] == await tell_me.store.do("KEYS", "*notify:push*")


async def test_a_key_that_is_not_ours(tell_me: TellMe) -> None:
    """A key that is no key of ours is refused, so that no subscription is kept that we cannot send to."""
    await tell_me.offer()
    other = public_key(new_key())

    assert 409 == (await tell_me.post("subscribe", content(tell_me, key=other))).status_code


async def test_an_event_without_push(tell_me: TellMe) -> None:
    """An event that notify.toml tells by mail only takes no browsers, and one that is unknown takes nothing."""
    await tell_me.offer(push=None)

    assert 404 == (await tell_me.post("subscribe", content(tell_me))).status_code
    for query in ("event=unknown", f"ticket={TICKET[:-1]}9", f"event={TICKET}", "ticket=nonsense", ""):
        status = (await tell_me.post("subscribe", content(tell_me), query or "site=")).status_code
        assert status == (400 if query in {"", "ticket=nonsense"} else 404)
    assert [] == await tell_me.store.do("KEYS", "*notify:push*")


async def test_any_language_of_a_browser(tell_me: TellMe) -> None:
    """What is no name of a language is left out, and never stored."""
    await tell_me.offer()
    for language in ("x" * 100, 7, None, "de\r\nx", ["de"]):
        assert 200 == (await tell_me.post("subscribe", content(tell_me, language=language))).status_code

    assert {""} == {one.language for one in await tell_me.subscriptions.claim_first(SiteId(SITE), 10)}


async def test_who_did_not_answer_comes_back_tomorrow(tell_me: TellMe) -> None:
    """A browser that did not answer its first push is told to come back in a day."""
    await tell_me.offer()
    browser = tell_me.service.subscribe(tell_me.key)
    await tell_me.post("subscribe", content(tell_me, browser))
    await tell_me.send_first()
    await tell_me.post("unsubscribe", {"endpoint": browser.endpoint})
    answer = await tell_me.post("subscribe", content(tell_me, browser))

    assert (429, str(store.ASKED_LASTS)) == (answer.status_code, answer.headers["retry-after"])


async def test_one_address_asks_for_so_many(tell_me: TellMe, monkeypatch: pytest.MonkeyPatch) -> None:
    """One client's address has only so many unconfirmed subscriptions, and a site only so many in all."""
    await tell_me.offer()
    for _ in range(store.MOST_OF_SENDER):
        assert 200 == (await tell_me.post("subscribe", content(tell_me))).status_code
    answer = await tell_me.post("subscribe", content(tell_me))
    assert (503, True) == (answer.status_code, "retry-after" in answer.headers)
    monkeypatch.setattr(store, "MOST", 0)
    assert 503 == (await tell_me.post("subscribe", content(tell_me))).status_code
