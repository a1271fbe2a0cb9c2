"""
Push messages against the loopback service: a store, the channel, and browsers that have subscribed.

    push_rig    `await push_rig.browser()` is a subscriber that waits for its first push, `confirmed()` one that counts
"""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from server.keyring import KeyRing, new_key
from server.model import EventId, SiteId, TicketId
from server.notify.announcement import AnnouncedTicket, Announcement
from server.notify.audience.push_subscriptions import member_of
from server.notify.channels.channel import Delivery
from server.notify.channels.push import Push
from server.notify.config import PushSettings
from server.notify.message.languages import Languages
from server.push_subscription import PushSubscription
from server.redis.client import RedisClient
from server.store.push_subscriptions import PushSubscriptions, Stored
from server.vapid import key_id, public_key
from server.vapid import new_key as new_vapid_key
from tests.rig.push_service import PushService, Subscriber

SITE, EVENT = SiteId("5f0e4d3c-1111-4111-8111-00000000b001"), EventId("0b5f1a2e-4444-4444-8444-00000000e001")
PUBLIC_URL = "https://tickets.example.org"
ANNOUNCEMENT = Announcement(
    "Spring Gala",
    "https://example.org/gala",
    (AnnouncedTicket(TicketId("11111111-aaaa-4aaa-8aaa-000000000001"), "Early bird", 1_000.0, on_sale=True),),
)


class PushRig:
    """The parts. *keys* are private VAPID keys, the newest first."""

    def __init__(self, store: RedisClient, service: PushService) -> None:
        self.service = service
        self.keys = [new_vapid_key()]
        self.subscriptions = PushSubscriptions(store, KeyRing([new_key()]))
        self.push = self.channel()
        self._opened: list[Push] = [self.push]

    def channel(self, **more: Any) -> Push:
        """A channel with these settings, for the keys of the rig."""
        given = {
            "keys": tuple(map(SecretStr, self.keys)),
            "contact": "tickets@example.org",
            "hosts": (self.service.host,),
        }
        extra = {name: more.pop(name) for name in ("within", "clock") if name in more}
        found = Push(PushSettings(**{**given, **more}), self.subscriptions, Languages(), PUBLIC_URL, **extra)
        if hasattr(self, "_opened"):
            self._opened.append(found)
        return found

    async def browser(self, language: str = "en", address: str = "192.0.2.1") -> tuple[Subscriber, Stored]:
        """A browser that has subscribed with the newest key, and whose first push was claimed."""
        key = public_key(self.keys[0])
        browser = self.service.subscribe(key)
        one = PushSubscription.read(browser.json(), key_id(key), (self.service.host,))
        await self.subscriptions.subscribe(SITE, EVENT, one, language, address)
        [stored] = await self.subscriptions.claim_first(SITE, 1)
        return browser, stored

    async def confirmed(self, language: str = "en") -> tuple[Subscriber, Stored]:
        """A browser whose subscription counts."""
        browser, stored = await self.browser(language)
        assert await self.subscriptions.confirm(self.subscriptions.token(stored))
        found = await self.subscriptions.read(SITE, stored.id)
        assert found is not None
        return browser, found

    @staticmethod
    def delivery(stored: Stored, **more: Any) -> Delivery:
        """A message of a campaign to a browser; *more* wins."""
        given: dict[str, Any] = {
            "row": "row",
            "member": member_of(stored),
            "address": stored.subscription.endpoint,
            "language": stored.language,
            "deadline": time.time() + 3600,
            "announcement": ANNOUNCEMENT,
            "unsubscribe": "",
            "campaign": "spring-gala@12-01T18",
        }
        return Delivery(**{**given, **more})

    async def aclose(self) -> None:
        """Close the connections of every channel."""
        for one in self._opened:
            await one.aclose()


@pytest.fixture
async def push_rig(store: RedisClient, push_service: PushService) -> AsyncIterator[PushRig]:
    """A rig for one test."""
    found = PushRig(store, push_service)
    yield found
    await found.aclose()
