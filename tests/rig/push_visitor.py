"""A visitor of /tell-me with a real Chromium, whose push subscription is one of the loopback service.

In: a page of a browser, where the server is, and the subscription that `pushManager.subscribe` answers. Out: what the page and its
service worker do: push messages are delivered by the DevTools protocol, as a push service of the internet would.
"""

import asyncio
import json
from typing import Any

from playwright.async_api import BrowserContext, CDPSession, Page

from tests.rig.push_service import Subscriber
from tests.rig.server import until

STUB = """
(json) => {
  // The one call that needs a push service on the internet: everything else is the browser's own.
  const { endpoint, keys } = json;
  const bytes = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  let current = null;
  const subscription = (options) => ({
    endpoint, options, toJSON: () => ({ endpoint, expirationTime: null, keys }),
    unsubscribe: async () => { current = null; sessionStorage.ended = "1"; return true; },
  });
  PushManager.prototype.subscribe = async (options) => {
    if (Notification.permission !== "granted") throw new DOMException("not allowed", "NotAllowedError");
    sessionStorage.made = String(1 + Number(sessionStorage.made ?? 0));
    localStorage.stub = JSON.stringify([...options.applicationServerKey]);
    return (current = subscription({ applicationServerKey: options.applicationServerKey.buffer }));
  };
  PushManager.prototype.getSubscription = async () => {
    if (!current && localStorage.stub) current = subscription({ applicationServerKey: new Uint8Array(JSON.parse(localStorage.stub)).buffer });
    return sessionStorage.ended ? null : current;
  };
}
"""

CLICK = """
(page) => {
  self.done = [];
  self.clients.openWindow = async (url) => { self.done.push(`open ${url}`); };
  WindowClient.prototype.focus = async function () { self.done.push(`focus ${this.url}`); };
  const event = new Event("notificationclick");
  event.notification = { close() {}, data: { page } };
  event.waitUntil = (promise) => promise;
  self.dispatchEvent(event);
}
"""


class PushVisitor:
    """The visitor. *url* is the server's, *query* names the event."""

    def __init__(self, context: BrowserContext, page: Page, url: str, query: str, browser: Subscriber) -> None:
        self.context, self.page, self.url, self.query, self.browser = context, page, url, query, browser
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)

    async def open(self, query: str | None = None) -> None:
        """Open the page."""
        await self.context.add_init_script(f"({STUB})({json.dumps(self.browser.json())})")
        await self.page.goto(f"{self.url}/tell-me?{query or self.query}")

    async def state(self, expected: str) -> None:
        """Wait until the page shows this state of push."""
        await self.page.locator(f"#push-state[data-state={expected}]").wait_for(timeout=15_000)

    async def deliver(self, data: str) -> None:
        """Have the browser's service worker get a push message, as if from its push service."""
        cdp: CDPSession = await self.context.new_cdp_session(self.page)
        found: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def seen(event: Any) -> None:
            for one in event["registrations"]:
                if one["scopeURL"].startswith(self.url) and not found.done():
                    found.set_result(one["registrationId"])

        cdp.on("ServiceWorker.workerRegistrationUpdated", seen)
        await cdp.send("ServiceWorker.enable")
        origin = self.url
        name = await asyncio.wait_for(found, 10)
        await cdp.send("ServiceWorker.deliverPushMessage", {"origin": origin, "registrationId": name, "data": data})
        await cdp.detach()

    async def notifications(self) -> list[dict[str, Any]]:
        """What is shown now."""
        return list(
            await self.page.evaluate(
                """async () => {
                  const registration = await navigator.serviceWorker.getRegistration("/tell-me");
                  const shown = await registration.getNotifications();
                  return shown.map(({ title, body, lang, dir, tag, data }) => ({ title, body, lang, dir, tag, data }));
                }"""
            )
        )

    async def shown(self, count: int) -> list[dict[str, Any]]:
        """Wait until so many notifications are shown."""

        async def enough() -> list[dict[str, Any]] | None:
            found = await self.notifications()
            return found if len(found) == count else None

        return list(await until(enough, 15))

    async def click(self, page: str) -> list[str]:
        """Click on a notification that leads to *page*; answers what the service worker does then: `focus` or `open`, and an address.

        Both need a gesture of a person, and are stubbed.
        """
        [worker] = self.context.service_workers
        await worker.evaluate(CLICK, page)

        async def done() -> list[str]:
            return list(await worker.evaluate("() => self.done"))

        return list(await until(done, 15))
