"""Browsers that subscribe to a deployment with notify, at loopback push services.

`NotifyBrowsers(deployment, service, another)` sets a deployment up for push, before its processes start: the keys, the services, and a
port at which its pages are.
"""

import httpx

from server.vapid import new_key, public_key
from tests.rig.deployment import Deployment
from tests.rig.push_service import Pushed, PushService, Subscriber
from tests.rig.redis import free_port
from tests.rig.server import until


class NotifyBrowsers:
    """The browsers, as programs that post what the page /tell-me posts.

    `url` is where it is; `vapid` the private key. An event is named as in the address of the page: its slug, and perhaps `&site=ID`.
    """

    def __init__(self, deployment: Deployment, *services: PushService) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.vapid = new_key()
        self.all: list[Subscriber] = []
        self.http = httpx.AsyncClient(base_url=self.url, trust_env=False, headers={"origin": self.url}, timeout=30)
        self._of: dict[str, PushService] = {}
        deployment.settings |= {
            "NOTIFY_VAPID_KEYS": self.vapid,
            "NOTIFY_PUSH_HOSTS": ",".join(one.host for one in services),
            "PUBLIC_URL": self.url,
            "PORT": str(port),
        }

    @property
    def key(self) -> str:
        """The public VAPID key."""
        return public_key(self.vapid)

    async def offered(self, event: str) -> None:
        """Wait until the page of an event offers push."""

        async def shown() -> bool:
            answer = await self.http.get(f"/tell-me?event={event}")
            return answer.status_code == 200 and 'id="push"' in answer.text

        await until(shown, 60)

    async def post(self, path: str, event: str, **content: object) -> httpx.Response:
        """Post as the page does."""
        return await self.http.post(f"/tell-me/{path}?event={event}", json=content)

    async def subscribe(self, event: str, service: PushService) -> Subscriber:
        """A new browser, which waits for its first push."""
        browser = service.subscribe(self.key)
        self._of[browser.endpoint] = service
        self.all.append(browser)
        answer = await self.post("subscribe", event, subscription=browser.json(), key=self.key, language="de")
        assert (200, "waiting") == (answer.status_code, answer.json().get("state")), answer.text
        return browser

    async def confirm(self, event: str, browser: Subscriber) -> None:
        """Its first push comes, and its token goes back."""
        await until(lambda: self.messages(browser))
        answer = await self.post("confirm", event, token=self.token(browser))
        assert 200 == answer.status_code, answer.text

    async def confirmed(self, event: str, service: PushService, number: int = 1) -> list[Subscriber]:
        """So many new browsers that count."""
        found = [await self.subscribe(event, service) for _ in range(number)]
        for browser in found:
            await self.confirm(event, browser)
        return found

    def messages(self, browser: Subscriber) -> list[Pushed]:
        """What a browser got."""
        return self._of[browser.endpoint].messages(browser)

    def token(self, browser: Subscriber) -> str:
        """The token of its first push."""
        return str(self.messages(browser)[0].payload["notification"]["navigate"]).partition("#confirm=")[2]

    async def aclose(self) -> None:
        """Close the connections."""
        await self.http.aclose()
