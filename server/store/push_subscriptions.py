"""Browsers that want to be told of an event, encrypted: kept until they leave, or their push service no longer knows them.

In: checked subscriptions of visitors, and tokens that came back. Out: confirmed subscriptions of an event, page by page; those whose
first push is due. One counts once the token of its first push came back, since anyone can send any address; until then it lasts an
hour. Redis's clock decides. Every method raises RedisUnavailable when Redis does not take its command.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from server.keyring import KeyRing, Purpose
from server.model import EventId, SiteId
from server.push_subscription import PushSubscription
from server.redis.client import RedisClient
from server.store import scripts
from server.store.keys import Keys

UNCONFIRMED_LASTS = 3600
"""Seconds until one is deleted whose token has not come back."""
ASKED_LASTS = 86_400
"""Seconds in which a browser gets no second first push for the same event."""
KEPT_FOR = 400 * 86_400
"""Seconds for which a confirmed one is kept: an event that returns each year is announced to those who asked for the last one."""
MOST_UNCONFIRMED = 1000
"""Of a site: the oldest makes room, as a real one is confirmed within seconds."""
MOST_OF_SENDER = 20
"""Unconfirmed ones of one client's address: a school or an office shares one."""
MOST = 100_000
"""Confirmed ones of a site: some 100 MB."""
MOST_ASKED = 50_000
"""First pushes that are remembered for a day, at most."""
NONE = "-"
"""A part of a record that it has not."""
CLAIM_LASTS = 60
"""Seconds after which a first push whose worker died is due again."""


class Subscribed(StrEnum):
    """What became of a request to subscribe."""

    CONFIRMED = "confirmed"  # it counts
    WAITING = "waiting"  # its first push is on its way
    ASKED = "asked"  # it got a first push today, and did not answer: tomorrow again
    CROWDED = "crowded"  # too many of this address are unconfirmed
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Stored:
    """A subscription that is kept. `at`: since when (seconds since 1970), which its token repeats. `language`: that of its page."""

    site: SiteId
    id: str
    event: EventId
    subscription: PushSubscription
    language: str
    at: int
    confirmed: bool


class PushSubscriptions:
    """The subscriptions of all sites."""

    def __init__(self, redis: RedisClient, keyring: KeyRing) -> None:
        self.redis = redis
        self.keys = Keys(redis.namespace)
        self.keyring = keyring

    async def subscribe(
        self, site: SiteId, event: EventId, one: PushSubscription, language: str, address: str
    ) -> Subscribed:
        """Keep it; one that is kept already changes nothing. *address* is the client's, which is kept as a hash while it is unconfirmed."""
        content = {"endpoint": one.endpoint, "p256dh": one.p256dh, "auth": one.auth}
        rest = (event, one.key, language or NONE, self.keyring.encrypt(Purpose.SUBSCRIPTION, content))
        found = await self.redis.run(
            scripts.PUSH_SUBSCRIBE,
            [*self._keys(site, *_SHARED, "asked", "confirmed"), self._event(site, event)],
            [
                " ".join(rest),
                self.keyring.hash(Purpose.SUBSCRIPTION, "sender", address),
                self.keyring.hash(Purpose.SUBSCRIPTION, "keys", one.p256dh, one.auth),
                UNCONFIRMED_LASTS,
                ASKED_LASTS,
                MOST_UNCONFIRMED,
                MOST_OF_SENDER,
                MOST,
                *self._ids(site, event, one.endpoint),
            ],
        )
        return Subscribed(found)

    def token(self, one: Stored) -> str:
        """What the first push brings to the browser, which sends it back to `confirm`."""
        return self.keyring.encrypt(Purpose.CONFIRM, {"s": one.site, "e": one.event, "i": one.id, "t": one.at})

    async def confirm(self, token: str) -> bool:
        """Have a subscription count; answers whether it does. False: no token of ours, or its subscription is no more."""
        content = self.keyring.decrypt(Purpose.CONFIRM, token)
        if content is None:
            return False
        site = SiteId(content["s"])
        keys = [*self._keys(site, *_SHARED, "asked", "confirmed"), self._event(site, EventId(content["e"]))]
        return bool(await self.redis.run(scripts.PUSH_CONFIRM, keys, [content["i"], content["t"]]))

    async def unsubscribe(self, site: SiteId, event: EventId, endpoint: str) -> bool:
        """Delete what is kept of a browser for an event; answers whether there was something."""
        removed = [await self._remove(site, event, id_) for id_ in self._ids(site, event, endpoint)]
        return any(removed)

    async def remove(self, one: Stored) -> None:
        """Delete it: its push service does not know it any more."""
        await self._remove(one.site, one.event, one.id)

    async def read(self, site: SiteId, id_: str) -> Stored | None:
        """The subscription with this id."""
        text = await self.redis.do("HGET", self._key(site, "subscriptions"), id_)
        return self._stored(site, id_, text) if text else None

    async def count(self, site: SiteId, event: EventId) -> int:
        """How many of an event are confirmed."""
        return int(await self.redis.do("ZCARD", self._event(site, event)))

    async def page(
        self, site: SiteId, event: EventId, after: str | None, size: int
    ) -> tuple[Sequence[Stored], str | None]:
        """So many confirmed ones of an event, by id, and where the next page begins: None after the last one."""
        first = f"({after}" if after else "-"
        ids = await self.redis.do("ZRANGE", self._event(site, event), first, "+", "BYLEX", "LIMIT", 0, size)
        if not ids:
            return (), None
        texts = await self.redis.do("HMGET", self._key(site, "subscriptions"), *ids)
        found = [self._stored(site, id_, text) for id_, text in zip(ids, texts, strict=True) if text]
        return tuple(one for one in found if one), ids[-1] if len(ids) == size else None

    async def claim_first(self, site: SiteId, most: int) -> Sequence[Stored]:
        """Those whose first push is due, for this worker alone until `CLAIM_LASTS`."""
        keys = self._keys(site, "subscriptions", "first")
        found = await self.redis.run(scripts.PUSH_FIRST, keys, [CLAIM_LASTS, most])
        stored = [self._stored(site, id_, text) for id_, text in zip(found[::2], found[1::2], strict=True)]
        return tuple(one for one in stored if one)

    async def first_sent(self, one: Stored) -> None:
        """Its first push was taken: no other is sent for a day."""
        now, _ = await self.redis.do("TIME")
        asked = self._key(one.site, "asked")
        await self.redis.do("ZADD", asked, int(now), one.id)
        await self.redis.do("ZREMRANGEBYRANK", asked, 0, -MOST_ASKED - 1)
        await self.redis.do("ZREM", self._key(one.site, "first"), one.id)

    async def first_later(self, one: Stored, wait: float) -> None:
        """Its first push could not be sent, and is due in so many seconds."""
        now, _ = await self.redis.do("TIME")
        await self.redis.do("ZADD", self._key(one.site, "first"), "XX", int(now) + int(wait) + 1, one.id)

    async def expire(self, site: SiteId) -> int:
        """Delete what was not confirmed in time, and what is too old; answers how many."""
        count = int(await self.redis.run(scripts.PUSH_EXPIRE, self._keys(site, *_SHARED), [UNCONFIRMED_LASTS]))
        now, _ = await self.redis.do("TIME")
        old = ("ZRANGE", self._key(site, "confirmed"), "-inf", int(now) - KEPT_FOR, "BYSCORE", "LIMIT", 0, 100)
        for id_ in await self.redis.do(*old):
            text = await self.redis.do("HGET", self._key(site, "subscriptions"), id_)
            event = EventId(text.split(" ")[4]) if text else EventId("")
            count += await self._remove(site, event, id_)
        return count

    async def _remove(self, site: SiteId, event: EventId, id_: str) -> bool:
        keys = [*self._keys(site, *_SHARED, "confirmed"), self._event(site, event)]
        return bool(await self.redis.run(scripts.PUSH_REMOVE, keys, [id_]))

    def _stored(self, site: SiteId, id_: str, text: str) -> Stored | None:
        """None where the key is no more by which it was encrypted: it cannot be read, and waits for the key or its end."""
        at, state, _, _, event, key, language, data = text.split(" ")
        content = self.keyring.decrypt(Purpose.SUBSCRIPTION, data)
        if content is None:
            return None
        one = PushSubscription(content["endpoint"], content["p256dh"], content["auth"], key)
        known = "" if language == NONE else language
        return Stored(site, id_, EventId(event), one, known, int(at), state == "confirmed")

    async def oldest_keys(self, site: SiteId, most: int = 200) -> set[str]:
        """The ids of the keys with which the oldest confirmed subscriptions of a site were made."""
        ids = await self.redis.do("ZRANGE", self._key(site, "confirmed"), 0, most - 1)
        texts = await self.redis.do("HMGET", self._key(site, "subscriptions"), *ids) if ids else ()
        return {text.split(" ")[5] for text in texts if text}

    def _ids(self, site: SiteId, event: EventId, endpoint: str) -> tuple[str, ...]:
        return self.keyring.hashes(Purpose.SUBSCRIPTION, "id", site, event, endpoint)

    def _keys(self, site: SiteId, *names: str) -> list[str]:
        return [self._key(site, name) for name in names]

    def _event(self, site: SiteId, event: EventId) -> str:
        return self._key(site, "event", event)

    def _key(self, site: SiteId, *parts: str) -> str:
        return self.keys.key(site, "notify", "push", *parts)


_SHARED = ("subscriptions", "unconfirmed", "first", "senders")
"""The keys that lua/push_drop.lua uses, in its order."""
