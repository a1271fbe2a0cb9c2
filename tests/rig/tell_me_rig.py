"""
The page /tell-me on a real server, with the loopback push service.

    tell_me    `await tell_me.offer()` has an event that visitors can be told of; `tell_me.send_first()` sends first pushes as a worker does
"""

import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from server.keyring import KeyRing, new_key
from server.model import Definition, EventId, SiteId
from server.notify.channels.push import Push
from server.notify.config import PushSettings
from server.notify.confirmations import Confirmations
from server.notify.message.languages import Languages
from server.redis.client import RedisClient
from server.store.notify_events import NotifyEvents
from server.store.push_subscriptions import PushSubscriptions
from server.vapid import new_key as new_vapid_key
from server.vapid import public_key
from tests.rig.fake_reader import EVENT, FakeReader, definition
from tests.rig.push_service import PushService
from tests.rig.server import SITE, TICKET, RunningServer, StartServer


class TellMe:
    """The server, and what a worker does for it."""

    def __init__(
        self, running: RunningServer, store: RedisClient, reads: FakeReader, service: PushService, **settings: str
    ) -> None:
        self.running, self.store, self.reads, self.service = running, store, reads, service
        self.key = public_key(settings["notify_vapid_keys"])
        self.keyring = KeyRing([settings["notify_keys"]])
        self.subscriptions = PushSubscriptions(store, self.keyring)
        given = PushSettings((SecretStr(settings["notify_vapid_keys"]),), "tickets@example.org", (service.host,))
        self.push = Push(given, self.subscriptions, Languages(), running.url)
        self.confirmations = Confirmations(self.subscriptions, self.push, lambda: [SiteId(SITE)], clock=time.time)

    @property
    def query(self) -> str:
        """The query that names the event."""
        return f"event={EVENT}&site={SITE}"

    async def offer(self, *tickets: Definition, title: str = "Spring Gala", **facts: Any) -> None:
        """An event with these tickets, of which visitors can be told by push and mail, unless *facts* say otherwise."""
        await self.reads.read(*(tickets or (definition(TICKET, 3),)))
        given = {"push": 1, "sign_up": 1, "title": title, **facts}
        await NotifyEvents(self.store).set(SiteId(SITE), EventId(EVENT), **given)

    async def post(self, path: str, content: Any = None, query: str = "", **headers: str) -> httpx.Response:
        """Post as the page does; *headers* win, with `_` for `-`."""
        named = {"origin": self.running.url, **{name.replace("_", "-"): value for name, value in headers.items()}}
        body = {"content": content} if isinstance(content, bytes) else {"json": content}
        return await self.running.http.post(f"/tell-me/{path}?{query or self.query}", headers=named, **body)

    async def send_first(self) -> None:
        """Send the first pushes that are due."""
        await self.confirmations.send_due()


@pytest.fixture
async def tell_me(
    start_server: StartServer, store: RedisClient, redis_url: str, push_service: PushService
) -> AsyncIterator[TellMe]:
    """A server with push, for one test."""
    settings = {"notify_keys": new_key(), "notify_vapid_keys": new_vapid_key(), "notify_push_hosts": push_service.host}
    running = await start_server(**settings)
    async with aclosing(FakeReader(redis_url, SITE)) as reads:
        found = TellMe(running, store, reads, push_service, **settings)
        yield found
        await found.push.aclose()
