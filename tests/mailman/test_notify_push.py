"""A sale starts, and browsers hear of it by Web Push: real processes, loopback push services, and Chromium."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from playwright.async_api import Browser

from tests.rig.notify_browsers import NotifyBrowsers
from tests.rig.notify_deployment import FIRST_WITHIN, NotifyDeployment
from tests.rig.push_service import PushService, running_push_service
from tests.rig.push_visitor import PushVisitor
from tests.rig.report import report
from tests.rig.sale_deployment import AnnouncedEvent
from tests.rig.server import until

READERS = tuple(f"reader-{number}@example.com" for number in range(60))
HELD = 8
"""Seconds that a service asks us to wait."""


@pytest.fixture
async def browsers(notify: NotifyDeployment, push_service: PushService) -> AsyncIterator[NotifyBrowsers]:
    """Browsers of the service at 127.0.0.1."""
    async with aclosing(NotifyBrowsers(notify.deployment, push_service)) as found:
        yield found


@pytest.fixture
async def another() -> AsyncIterator[PushService]:
    """The service of another browser's maker."""
    async with running_push_service("127.0.0.2") as found:
        yield found


@pytest.fixture
async def both(
    notify: NotifyDeployment, push_service: PushService, another: PushService
) -> AsyncIterator[NotifyBrowsers]:
    """Browsers of two services."""
    async with aclosing(NotifyBrowsers(notify.deployment, push_service, another)) as found:
        yield found


async def push_event(notify: NotifyDeployment, browsers: NotifyBrowsers, *, limit: int = 40) -> AnnouncedEvent:
    """An event of which the readers of a list and browsers are told; the product runs."""
    list_id = await notify.mailman.new_list()
    notify.mailman.fill(list_id, READERS)
    event = await notify.add_event(list_id, push=True, limit=limit)
    await notify.serve()
    await browsers.offered(event.slug)
    return event


async def test_from_a_click_to_the_sale(
    notify: NotifyDeployment, push_service: PushService, browsers: NotifyBrowsers, browser: Browser
) -> None:
    """A click subscribes, a first push confirms, and at the sale's start a message is shown whose click leads to the newest numbers."""
    event = await push_event(notify, browsers)
    context = await browser.new_context(permissions=["notifications"])
    subscriber = push_service.subscribe(browsers.key)
    query = f"event={event.slug}"
    visitor = PushVisitor(context, await context.new_page(), browsers.url, query, subscriber)
    await visitor.open()
    await visitor.page.get_by_role("button", name="Tell me").click()
    await visitor.state("waiting")
    [first] = await until(lambda: push_service.messages(subscriber), 15)
    assert [] == notify.mails
    await visitor.deliver(first.text)
    await visitor.state("confirmed")
    await visitor.shown(1)

    await notify.start_sale(event)
    pushed = (await until(lambda: push_service.messages(subscriber)[1:], 30))[0]
    late = pushed.at - event.start
    report(f"push {late:.2f} s after the start of the sale")
    assert 0 <= late < FIRST_WITHIN
    assert "aes128gcm" == pushed.headers["content-encoding"]
    assert "high" == pushed.headers["urgency"]
    assert abs(int(pushed.headers["ttl"]) - (event.start + 7200 - time.time())) < 60
    assert pushed.size <= 2500 + 103  # the header and the tag of the encryption (RFC 8188)
    assert 8030 == pushed.payload["web_push"]

    await visitor.deliver(pushed.text)
    shown = await visitor.shown(2)
    [told] = [one for one in shown if "Spring Gala" in one["title"]]
    assert told["data"]["page"].startswith(f"{browsers.url}/tell-me?event=")
    await visitor.page.get_by_text("40 left.").wait_for()
    notify.wix.world.buy(event.tickets[0], 5)
    await until(lambda: notify.deployment.right(notify.wix, event.tickets), 30)
    [done] = await visitor.click(told["data"]["page"])
    page = done.partition(" ")[2]
    assert page.startswith(f"{browsers.url}/tell-me?event=")
    await visitor.page.goto(page)
    await visitor.page.get_by_text("35 left.").wait_for()
    await visitor.state("confirmed")

    await notify.reached(event, "done")
    run = await notify.reached(event, "done", channel="push")
    assert ("1", "1") == (run["total"], run["sent"])
    assert dict.fromkeys(READERS, 1) == notify.mails_by_address
    assert [] == push_service.refused
    assert [] == visitor.errors
    await context.close()


async def test_service_that_refuses_our_key(
    notify: NotifyDeployment, push_service: PushService, another: PushService, both: NotifyBrowsers
) -> None:
    """A refused key pauses that service alone, and says why and what helps; a subscription that is gone is removed; mail goes on."""
    notify.general = "[push]\nconnections = 1"
    event = await push_event(notify, both)
    here, gone = await both.confirmed(event.slug, push_service, 2)
    there = await both.confirmed(event.slug, another, 3)
    gone.gone = True
    another.behave(403)

    await notify.start_sale(event)
    await notify.reached(event, "done")
    run = await notify.reached(event, "paused", channel="push")

    assert dict.fromkeys(READERS, 1) == notify.mails_by_address
    assert (2, 1) == (len(both.messages(here)), len(both.messages(gone)))
    assert ("1", "1") == (run["sent"], run["failed"])
    assert "push 127.0.0.2: it refuses our key (403). Set NOTIFY_VAPID_KEYS" in run["note"]
    status = await notify.status()
    [paused] = status["paused"]
    assert ("push 127.0.0.2", "it refuses our key (403)") == (paused["server"], paused["reason"])
    assert "NOTIFY_VAPID_KEYS" in paused["cure"]
    text = await notify.cli("status", "--exit-code")
    assert 4 == text.status, str(text)
    for part in ("push 127.0.0.2", "it refuses our key (403)", "Set NOTIFY_VAPID_KEYS"):
        assert part in text.out, text.out
    assert "mail" not in [one["server"] for one in status["paused"]]

    # Nothing was removed where the fault is ours, and who was not tried hears at once when a person says so.
    another.behave(201)
    [campaign] = [one["campaign"] for one in status["campaigns"]]
    answer = await notify.cli("send", campaign, "--yes")
    # Perhaps a probe was first.
    assert 0 == answer.status or "neither stopped nor paused" in answer.err, str(answer)
    await until(lambda: [1, 2, 2] == sorted(len(both.messages(one)) for one in there), 30)
    run = await notify.campaign(event, "push")
    assert ("3", "1", "1") == (run["sent"], run["failed"], run["waiting"])
    assert [] == (await notify.status())["paused"]
    again = await notify.cli("send", event.slug, "--again", "--dry-run", "--json")
    assert 4 == again.json["pushes"], str(again)
    assert dict.fromkeys(READERS, 1) == notify.mails_by_address


async def test_service_that_asks_us_to_wait(
    notify: NotifyDeployment, push_service: PushService, another: PushService, both: NotifyBrowsers
) -> None:
    """A service that answers 429 with Retry-After gets nothing until then; the other service and mail are told meanwhile."""
    notify.general = "[push]\nconnections = 1"
    event = await push_event(notify, both)
    here = await both.confirmed(event.slug, push_service, 3)
    await both.confirmed(event.slug, another, 3)
    before = len(another.requests)
    another.behave(429, headers={"Retry-After": str(HELD)})

    await notify.start_sale(event)
    await until(lambda: len(another.requests) > before, 30)
    refused_at = another.requests[-1].at
    another.behave(201)
    await until(lambda: [2, 2, 2] == [len(both.messages(one)) for one in here], HELD - 2)
    assert before + 1 == len(another.requests)
    asked = await notify.campaign(event, "push")
    await until(lambda: len(another.requests) >= before + 3, 30)

    [second, _] = [one.at for one in another.requests[before + 1 :]]
    report(f"held for {second - refused_at:.1f} s, and 429 asked for {HELD} s")
    assert HELD - 0.5 <= second - refused_at < HELD + 5
    assert "it takes no more for now (429)" in json.dumps(dict(asked))
    await notify.reached(event, "done")
    assert dict.fromkeys(READERS, 1) == notify.mails_by_address
    assert [] == (await notify.status())["paused"]
