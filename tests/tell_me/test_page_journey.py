import time
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, BrowserContext, Page

from server.counter import Rules
from server.model import EventId, SaleStatus, SiteId, TicketId
from server.notify.announcement import AnnouncedTicket, Announcement
from server.notify.audience.push_subscriptions import PushAudience
from server.notify.channels.channel import Delivery, Result
from tests.rig.fake_reader import EVENT, definition
from tests.rig.push_service import Pushed
from tests.rig.push_visitor import PushVisitor
from tests.rig.server import SITE, TICKET
from tests.rig.tell_me_rig import TellMe


class Visitor(PushVisitor):
    """A visitor of the page, with what a worker does for it."""

    def __init__(self, context: BrowserContext, page: Page, tell_me: TellMe) -> None:
        super().__init__(context, page, tell_me.running.url, tell_me.query, tell_me.service.subscribe(tell_me.key))
        self.tell_me = tell_me


@pytest.fixture
async def visitor(browser: Browser, tell_me: TellMe) -> AsyncIterator[Visitor]:
    """A visitor who allows notifications when they are asked."""
    context = await browser.new_context(permissions=["notifications"])
    found = Visitor(context, await context.new_page(), tell_me)
    yield found
    await context.close()


async def first_push(visitor: Visitor) -> Pushed:
    """Click, and have the worker send the first push."""
    await visitor.page.get_by_role("button", name="Tell me").click()
    await visitor.state("waiting")
    await visitor.tell_me.send_first()
    [pushed] = visitor.tell_me.service.messages(visitor.browser)
    return pushed


async def campaign_push(visitor: Visitor) -> Pushed:
    """Send a campaign's message to each confirmed subscription, and answer the one that this visitor got."""
    tell_me = visitor.tell_me
    page = await PushAudience(tell_me.subscriptions, SiteId(SITE), EventId(EVENT)).page(None, 10)
    [member] = page.members
    tickets = (AnnouncedTicket(TicketId(TICKET), "General admission", time.time(), on_sale=True),)
    announcement = Announcement("Spring Gala", "https://example.org", tickets)
    delivery = Delivery("row", member, member.address, "en", time.time() + 60, announcement, "", "gala@12-01T18")
    assert Result.SENT is (await tell_me.push.send(delivery)).result
    return tell_me.service.messages(visitor.browser)[-1]


async def test_from_click_to_campaign(visitor: Visitor, tell_me: TellMe) -> None:
    """A click subscribes, the first push confirms, a campaign's message is shown by the real service worker and leads to the page."""
    await tell_me.offer()
    await visitor.open()
    first = await first_push(visitor)
    assert 0 == await tell_me.subscriptions.count(SiteId(SITE), EventId(EVENT))
    await visitor.deliver(first.text)
    await visitor.state("confirmed")
    assert 1 == await tell_me.subscriptions.count(SiteId(SITE), EventId(EVENT))
    [note] = await visitor.shown(1)
    assert ("You will be told", "ltr", "en") == (note["title"], note["dir"], note["lang"])
    assert "confirm" not in note["data"]["page"]

    await visitor.deliver((await campaign_push(visitor)).text)
    both = await visitor.shown(2)
    [told] = [one for one in both if one["title"] == "Tickets are on sale: Spring Gala"]
    assert f"{tell_me.running.url}/tell-me?{tell_me.query}" == told["data"]["page"]
    await visitor.page.goto(told["data"]["page"])
    await visitor.page.get_by_text("Only 3 left.").wait_for()
    await visitor.state("confirmed")
    await tell_me.reads.read(definition(TICKET, 0))
    await visitor.page.reload()
    await visitor.page.get_by_text("Sold out.").wait_for()
    assert [] == visitor.errors


async def test_click_focuses_or_opens_our_page(visitor: Visitor, tell_me: TellMe) -> None:
    """A click on a notification focuses the tab that shows its page, else opens it, and never an address of others."""
    await tell_me.offer()
    await visitor.open()
    await first_push(visitor)
    home = f"{tell_me.running.url}/tell-me"
    addresses = (
        f"{home}?{tell_me.query}",
        f"{home}?event=other",
        "https://example.org/",
        f"{home}/../admin",
        "http://",
    )
    done = [one for address in addresses for one in await visitor.click(address)]

    assert [f"focus {home}?{tell_me.query}", f"open {home}?event=other", *[f"open {home}"] * 3] == done


@pytest.mark.parametrize(
    "data",
    [
        "",
        "no JSON",
        "[]",
        "null",
        '{"notification": 7}',
        '{"notification": {"navigate": "https://example.org/#confirm=x"}}',
    ],
)
async def test_every_push_shows_something(visitor: Visitor, tell_me: TellMe, data: str) -> None:
    """A push message that cannot be read is shown too, and leads to our page alone."""
    await tell_me.offer()
    await visitor.open()
    await first_push(visitor)
    await visitor.deliver(data)
    [note] = await visitor.shown(1)

    assert "News about tickets" == note["title"]
    assert f"{tell_me.running.url}/tell-me" == note["data"]["page"]


async def test_stop_deletes_what_is_kept(visitor: Visitor, tell_me: TellMe) -> None:
    """A second click takes the browser off, here and in the browser; a third has it told again without another first push."""
    await tell_me.offer()
    await visitor.open()
    first = await first_push(visitor)
    await visitor.deliver(first.text)
    await visitor.state("confirmed")
    await visitor.page.get_by_role("button", name="Do not tell me any more").click()
    await visitor.state("left_off")
    assert 0 == await tell_me.subscriptions.count(SiteId(SITE), EventId(EVENT))
    assert "1" == await visitor.page.evaluate("sessionStorage.ended")

    await visitor.page.evaluate("sessionStorage.removeItem('ended')")
    await visitor.page.get_by_role("button", name="Tell me").click()
    await visitor.state("confirmed")
    assert 1 == len(tell_me.service.messages(visitor.browser))


async def test_a_changed_key_subscribes_again(visitor: Visitor, tell_me: TellMe) -> None:
    """A browser whose subscription was made with another key subscribes anew when it opens the page, and the old one is deleted."""
    await tell_me.offer()
    await visitor.open()
    first = await first_push(visitor)
    await visitor.deliver(first.text)
    await visitor.state("confirmed")
    await visitor.page.evaluate(
        "localStorage.stub = JSON.stringify(JSON.parse(localStorage.stub).map((byte) => byte ^ 1))"
    )
    # The stub ends a subscription for good in this tab; another tab has none that ended.
    page = await visitor.context.new_page()
    await page.add_init_script("PushManager.prototype.unsubscribed = true")
    await page.goto(f"{tell_me.running.url}/tell-me?{tell_me.query}")
    await page.locator("#push-state[data-state=confirmed]").wait_for()

    assert ["1", "1"] == [await page.evaluate(f"sessionStorage.{name}") for name in ("ended", "made")]
    key = [int(one) for one in await page.evaluate("JSON.parse(localStorage.stub)")]
    assert 65 == len(key)
    assert 1 == await tell_me.subscriptions.count(SiteId(SITE), EventId(EVENT))


async def test_a_click_on_the_first_message_confirms_too(visitor: Visitor, tell_me: TellMe) -> None:
    """Where the service worker could not send the token back, the page does, and takes it out of its address."""
    await tell_me.offer()
    await visitor.open()
    first = await first_push(visitor)
    await visitor.page.goto("about:blank")
    await visitor.page.goto(first.payload["notification"]["navigate"])
    await visitor.state("confirmed")

    assert "#" not in visitor.page.url
    assert 1 == await tell_me.subscriptions.count(SiteId(SITE), EventId(EVENT))


async def test_permission_that_is_refused(browser: Browser, tell_me: TellMe) -> None:
    """Where the browser allows no messages, the page says how to allow them, and asks for nothing."""
    await tell_me.offer()
    context = await browser.new_context()
    await context.add_init_script("Object.defineProperty(Notification, 'permission', { get: () => 'denied' })")
    page = await context.new_page()
    await page.goto(f"{tell_me.running.url}/tell-me?{tell_me.query}")
    await page.locator("#push-state[data-state=denied]").wait_for()

    assert await page.locator("#subscribe").is_hidden()
    await context.close()


async def test_sign_up_by_mail(visitor: Visitor, tell_me: TellMe) -> None:
    """An address is taken where the tool takes sign-ups, and one that is none is marked in the field."""
    await tell_me.offer()
    await visitor.open()
    field = visitor.page.get_by_label("E-mail address")
    for wrong in ("nobody", "nobody@nowhere"):
        await field.fill(wrong)
        await visitor.page.get_by_role("button", name="Send me a mail").click()
        await visitor.page.get_by_text("Please check the address").wait_for()
        assert "true" == await field.get_attribute("aria-invalid")
    await field.fill(" Ann@Example.org ")
    await visitor.page.get_by_role("button", name="Send me a mail").click()
    await visitor.page.get_by_text("Almost done").wait_for()

    assert "false" == await field.get_attribute("aria-invalid")
    assert "" == await field.input_value()


async def test_what_the_tickets_are(visitor: Visitor, tell_me: TellMe) -> None:
    """The page reads the newest counters, with a link to what can be bought, and names as text."""
    start = int(time.time()) + 3600
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(start))
    other = "22222222-aaaa-4aaa-8aaa-000000000002"
    from server.model import Event, Sale  # noqa: PLC0415

    event = Event(EventId(EVENT), page="https://example.org/buy")
    await tell_me.offer(
        definition(TICKET, 40, name="<b>Bold</b>", event_details=event),
        definition(
            other,
            5,
            name="Later",
            status=SaleStatus.SCHEDULED,
            sale=Sale(stamp, None, "Europe/Berlin"),
            event_details=event,
        ),
    )
    await visitor.open()
    await visitor.page.get_by_text("40 left.").wait_for()

    assert "<b>Bold</b>" == await visitor.page.locator("li[data-state=available] .name").inner_text()
    assert "https://example.org/buy" == await visitor.page.get_by_role("link", name="Buy tickets").get_attribute("href")
    assert (await visitor.page.locator("li[data-state=scheduled] .state").inner_text()).startswith("On sale from ")
    assert 0 == await visitor.page.locator("li[data-state=scheduled] a").count()
    assert Rules().low_at < 40
