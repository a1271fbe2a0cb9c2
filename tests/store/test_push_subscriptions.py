import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from redis.asyncio import Redis

from server.keyring import KeyRing, Purpose, new_key
from server.model import EventId, SiteId
from server.push_subscription import PushSubscription
from server.redis.client import RedisClient, Use
from server.store import push_subscriptions as module
from server.store.push_subscriptions import PushSubscriptions, Stored, Subscribed
from tests.rig.default_keys import key
from tests.rig.push_service import Subscriber
from tests.rig.redis import RedisServer

SITE = SiteId("5f0e4d3c-1111-4111-8111-00000000b001")
EVENT, OTHER = EventId("event-1"), EventId("event-2")
KEY = new_key()


def browser(name: str) -> PushSubscription:
    """A subscription of a browser whose endpoint has this name."""
    return PushSubscription.read(Subscriber(f"https://fcm.googleapis.com/fcm/send/{name}", "").json(), "0a1b2c3d", ())


@pytest.fixture
async def subscriptions(store: RedisClient) -> PushSubscriptions:
    return PushSubscriptions(store, KeyRing([KEY]))


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url, decode_responses=True) as found:
        yield found


async def confirm(subscriptions: PushSubscriptions) -> list[Stored]:
    """Send every first push that is due, and have its token come back."""
    claimed = await subscriptions.claim_first(SITE, 1000)
    for one in claimed:
        await subscriptions.first_sent(one)
        assert await subscriptions.confirm(subscriptions.token(one))
    return list(claimed)


async def every(subscriptions: PushSubscriptions, event: EventId = EVENT, size: int = 1000) -> list[str]:
    """The endpoints of all confirmed ones, page by page."""
    found: list[str] = []
    after: str | None = None
    while True:
        page, after = await subscriptions.page(SITE, event, after, size)
        found += [one.subscription.endpoint for one in page]
        if after is None:
            return found


async def test_one_counts_once_its_token_came_back(anywhere: RedisClient) -> None:
    """A subscription waits for its first push, whose token makes it count; it is in no page before, and in none once it left."""
    subscriptions = PushSubscriptions(anywhere, KeyRing([KEY]))
    one = browser("a")

    assert Subscribed.WAITING is await subscriptions.subscribe(SITE, EVENT, one, "de", "192.0.2.1")
    assert ([], 0) == (await every(subscriptions), await subscriptions.count(SITE, EVENT))
    [stored] = await subscriptions.claim_first(SITE, 10)
    assert (one, "de", EVENT, False) == (stored.subscription, stored.language, stored.event, stored.confirmed)
    assert () == await subscriptions.claim_first(SITE, 10)
    assert await subscriptions.confirm(subscriptions.token(stored))
    assert await subscriptions.confirm(subscriptions.token(stored))
    assert ([one.endpoint], 1) == (await every(subscriptions), await subscriptions.count(SITE, EVENT))
    assert [] == await every(subscriptions, OTHER)
    assert Subscribed.CONFIRMED is await subscriptions.subscribe(SITE, EVENT, one, "de", "192.0.2.1")
    kept = await subscriptions.read(SITE, stored.id)
    assert kept is not None
    assert kept.confirmed

    assert await subscriptions.unsubscribe(SITE, EVENT, one.endpoint)
    assert not await subscriptions.unsubscribe(SITE, EVENT, one.endpoint)
    assert [] == await every(subscriptions)
    assert await subscriptions.read(SITE, stored.id) is None
    assert not await subscriptions.confirm(subscriptions.token(stored))


async def test_a_repeated_request_costs_nothing(subscriptions: PushSubscriptions, redis: Redis) -> None:
    """Who subscribes again and again causes one first push, changes no keys, and writes nothing."""
    one = browser("a")
    await subscriptions.subscribe(SITE, EVENT, one, "en", "192.0.2.1")
    before = await redis.hgetall(key(SITE, "notify", "push", "subscriptions"))
    for _ in range(50):
        assert Subscribed.WAITING is await subscriptions.subscribe(SITE, EVENT, browser("a"), "he", "192.0.2.1")

    assert before == await redis.hgetall(key(SITE, "notify", "push", "subscriptions"))
    assert 1 == len(await subscriptions.claim_first(SITE, 100))


@pytest.mark.parametrize("change", [{"i": "other"}, {"t": 1}, {"e": OTHER, "i": "other"}])
async def test_a_token_is_of_one_subscription(subscriptions: PushSubscriptions, change: dict[str, str | int]) -> None:
    """No text that we did not write confirms anything, nor the token of another subscription, or of an earlier one."""
    await subscriptions.subscribe(SITE, EVENT, browser("a"), "en", "192.0.2.1")
    [one] = await subscriptions.claim_first(SITE, 10)
    content = subscriptions.keyring.decrypt(Purpose.CONFIRM, subscriptions.token(one))
    assert content is not None
    changed = subscriptions.keyring.encrypt(Purpose.CONFIRM, {**content, **change})

    assert not await subscriptions.confirm(changed)
    assert not await subscriptions.confirm("nonsense")
    assert not await subscriptions.confirm(subscriptions.keyring.encrypt(Purpose.SIGN_UP, content))
    assert 0 == await subscriptions.count(SITE, EVENT)


async def test_a_browser_is_asked_once_a_day(subscriptions: PushSubscriptions, redis: Redis) -> None:
    """A browser that did not answer its first push gets no other one that day; one that did may leave and return at once."""
    silent, answering = browser("silent"), browser("answering")
    await subscriptions.subscribe(SITE, EVENT, answering, "en", "192.0.2.1")
    await confirm(subscriptions)
    await subscriptions.subscribe(SITE, EVENT, silent, "en", "192.0.2.1")
    [one] = await subscriptions.claim_first(SITE, 10)
    await subscriptions.first_sent(one)
    for each in (silent, answering):
        await subscriptions.unsubscribe(SITE, EVENT, each.endpoint)

    assert Subscribed.ASKED is await subscriptions.subscribe(SITE, EVENT, silent, "en", "192.0.2.1")
    assert Subscribed.CONFIRMED is await subscriptions.subscribe(SITE, EVENT, answering, "en", "192.0.2.1")
    assert [answering.endpoint] == await every(subscriptions)
    assert Subscribed.WAITING is await subscriptions.subscribe(SITE, OTHER, silent, "en", "192.0.2.1")
    # Other keys at the same address were never proven.
    await subscriptions.unsubscribe(SITE, EVENT, answering.endpoint)
    assert Subscribed.ASKED is await subscriptions.subscribe(SITE, EVENT, browser("answering"), "en", "192.0.2.1")

    asked = key(SITE, "notify", "push", "asked")
    for name in await redis.zrange(asked, 0, -1):
        await redis.zincrby(asked, -module.ASKED_LASTS, str(name))
    assert Subscribed.WAITING is await subscriptions.subscribe(SITE, EVENT, silent, "en", "192.0.2.1")


async def test_unconfirmed_ones_end_after_an_hour(subscriptions: PushSubscriptions, redis: Redis) -> None:
    """What was not confirmed within an hour is deleted, with all that was kept of it, and does not count for its sender."""
    await subscriptions.subscribe(SITE, EVENT, browser("a"), "en", "192.0.2.1")
    assert 0 == await subscriptions.expire(SITE)
    await redis.zincrby(key(SITE, "notify", "push", "unconfirmed"), -module.UNCONFIRMED_LASTS, await first(redis))

    assert 1 == await subscriptions.expire(SITE)
    assert [] == await redis.keys("tc:*notify*")


async def test_old_ones_end(subscriptions: PushSubscriptions, redis: Redis) -> None:
    """What was confirmed more than 400 days ago is deleted."""
    await subscriptions.subscribe(SITE, EVENT, browser("a"), "en", "192.0.2.1")
    [one] = await confirm(subscriptions)
    await redis.zincrby(key(SITE, "notify", "push", "confirmed"), -module.KEPT_FOR, one.id)

    assert 1 == await subscriptions.expire(SITE)
    assert [] == await every(subscriptions)
    assert [key(SITE, "notify", "push", "asked")] == await redis.keys("tc:*notify*")


async def first(redis: Redis) -> str:
    """The id of the oldest unconfirmed one."""
    [found] = await redis.zrange(key(SITE, "notify", "push", "unconfirmed"), 0, 0)
    return str(found)


async def test_one_address_cannot_ask_for_many(subscriptions: PushSubscriptions, redis: Redis) -> None:
    """One address has so many unconfirmed at once, others are not hindered, and confirmed ones do not count."""
    for number in range(module.MOST_OF_SENDER):
        await subscriptions.subscribe(SITE, EVENT, browser(f"a{number}"), "en", "192.0.2.1")

    assert Subscribed.CROWDED is await subscriptions.subscribe(SITE, EVENT, browser("b"), "en", "192.0.2.1")
    assert Subscribed.WAITING is await subscriptions.subscribe(SITE, EVENT, browser("c"), "en", "192.0.2.2")
    assert module.MOST_OF_SENDER + 1 == len(await confirm(subscriptions))
    assert Subscribed.WAITING is await subscriptions.subscribe(SITE, EVENT, browser("b"), "en", "192.0.2.1")
    assert 1 == await redis.hlen(key(SITE, "notify", "push", "senders"))


async def test_the_oldest_unconfirmed_makes_room(
    subscriptions: PushSubscriptions, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many come, so many are unconfirmed, the newest ones; those that are confirmed stay."""
    monkeypatch.setattr(module, "MOST_UNCONFIRMED", 10)
    await subscriptions.subscribe(SITE, EVENT, browser("confirmed"), "en", "192.0.2.1")
    await confirm(subscriptions)
    for number in range(30):
        await subscriptions.subscribe(SITE, EVENT, browser(f"a{number}"), "en", f"192.0.2.{number}")

    assert 11 == await redis.hlen(key(SITE, "notify", "push", "subscriptions"))
    assert 10 == await redis.hlen(key(SITE, "notify", "push", "senders"))
    left = {one.subscription.endpoint.rpartition("/")[2] for one in await subscriptions.claim_first(SITE, 100)}
    assert 10 == len(left)
    assert "a29" in left
    assert 1 == await subscriptions.count(SITE, EVENT)


async def test_a_site_has_so_many(subscriptions: PushSubscriptions, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the most that a site may have, nothing is added."""
    await subscriptions.subscribe(SITE, EVENT, browser("a"), "en", "192.0.2.1")
    await confirm(subscriptions)
    monkeypatch.setattr(module, "MOST", 1)

    assert Subscribed.FULL is await subscriptions.subscribe(SITE, EVENT, browser("b"), "en", "192.0.2.1")


async def test_first_pushes_are_sent_again_after_a_fault(subscriptions: PushSubscriptions, redis: Redis) -> None:
    """A first push that could not be sent is due later, one whose worker died too, and one that is gone is never due."""
    await subscriptions.subscribe(SITE, EVENT, browser("a"), "en", "192.0.2.1")
    [one] = await subscriptions.claim_first(SITE, 10)
    due = key(SITE, "notify", "push", "first")
    await subscriptions.first_later(one, 500)
    now, _ = await redis.time()
    assert 490 < float(await redis.zscore(due, one.id) or 0) - now < 510
    await redis.zincrby(due, -600, one.id)
    assert [one] == list(await subscriptions.claim_first(SITE, 10))

    await subscriptions.remove(one)
    await subscriptions.first_later(one, 1)
    assert 0 == await redis.zcard(due)
    await redis.zadd(due, {"no such id": 1})
    assert () == await subscriptions.claim_first(SITE, 10)
    assert 0 == await redis.zcard(due)


async def test_pages_hold_everyone_once(subscriptions: PushSubscriptions) -> None:
    """Pages of any size hold each confirmed one once, also where some leave between two pages."""
    for number in range(15):
        await subscriptions.subscribe(SITE, EVENT, browser(f"a{number:02}"), "en", f"192.0.2.{number}")
    await confirm(subscriptions)
    one_go = await every(subscriptions)

    assert 15 == len(set(one_go))
    for size in (1, 4, 5, 15, 100):
        assert one_go == await every(subscriptions, size=size)
    page, after = await subscriptions.page(SITE, EVENT, None, 5)
    for one in page:
        await subscriptions.remove(one)
    rest, _ = await subscriptions.page(SITE, EVENT, after, 100)
    assert one_go[5:] == [one.subscription.endpoint for one in rest]


async def test_keys_can_be_changed(store: RedisClient) -> None:
    """With a new key in front the old subscriptions are read, found and left; without the old key they are passed over."""
    old = PushSubscriptions(store, KeyRing([KEY]))
    one, other = browser("a"), browser("b")
    await old.subscribe(SITE, EVENT, one, "en", "192.0.2.1")
    await old.subscribe(SITE, EVENT, other, "en", "192.0.2.1")
    await confirm(old)
    newest = new_key()
    both, without = PushSubscriptions(store, KeyRing([newest, KEY])), PushSubscriptions(store, KeyRing([newest]))

    assert Subscribed.CONFIRMED is await both.subscribe(SITE, EVENT, one, "en", "192.0.2.1")
    assert {one.endpoint, other.endpoint} == set(await every(both))
    assert [] == await every(without)
    assert 2 == await without.count(SITE, EVENT)
    assert await both.unsubscribe(SITE, EVENT, one.endpoint)
    assert [other.endpoint] == await every(both)


async def test_nothing_is_stored_in_the_clear(
    subscriptions: PushSubscriptions, redis_shared: RedisServer, redis: Redis
) -> None:
    """Redis holds no endpoint, no key of a browser and no address of a client in the clear."""
    sent = [browser(f"secret-name-{number}") for number in range(3)]
    for one in sent:
        await subscriptions.subscribe(SITE, EVENT, one, "en", "198.51.100.7")
    await confirm(subscriptions)
    await subscriptions.subscribe(SITE, EVENT, browser("secret-name-4"), "en", "198.51.100.7")
    dump = "".join(await everything(redis))

    assert "event-1" in dump
    for text in ("secret-name", "googleapis", "198.51.100", *(one.p256dh for one in sent), *(one.auth for one in sent)):
        assert text not in dump


async def everything(redis: Redis) -> list[str]:
    """All names and contents of Redis as text."""
    found: list[str] = []
    for name in map(str, await redis.keys()):
        content = await redis.hgetall(name) if await redis.type(name) == "hash" else await redis.zrange(name, 0, -1)
        found.append(f"{name} {content!r}")
    return found


async def test_ten_thousand_hostile_requests(subscriptions: PushSubscriptions, redis_url: str, redis: Redis) -> None:
    """Ten thousand invented subscriptions from as many addresses leave a bounded number of keys, fields and bytes."""
    one = browser("x")
    before = (await redis.info("memory"))["used_memory"]
    async with aclosing(RedisClient(redis_url, Use.INGEST)) as client:
        hostile = PushSubscriptions(client, subscriptions.keyring)

        async def ask(number: int) -> None:
            endpoint = f"https://fcm.googleapis.com/{number}{'x' * 900}"
            forged = PushSubscription(endpoint, one.p256dh, one.auth, one.key)
            await hostile.subscribe(SITE, EVENT, forged, "en", f"2001:db8:{number:x}::/64")

        for start in range(0, 10_000, 100):
            await asyncio.gather(*(ask(start + number) for number in range(100)))

    names = [str(name) for name in await redis.keys("*notify*")]
    sizes = {name.rpartition(":")[2]: await redis.memory_usage(name) for name in names}
    assert {"subscriptions", "unconfirmed", "first", "senders"} == sizes.keys()
    assert module.MOST_UNCONFIRMED == await redis.hlen(key(SITE, "notify", "push", "subscriptions"))
    assert module.MOST_UNCONFIRMED == await redis.zcard(key(SITE, "notify", "push", "first"))
    assert module.MOST_UNCONFIRMED == await redis.hlen(key(SITE, "notify", "push", "senders"))
    used = (await redis.info("memory"))["used_memory"] - before
    assert used < 5_000_000


async def test_keys_of_subscriptions(anywhere: RedisClient) -> None:
    """The ids of the keys that browsers subscribed with can be asked for once they are confirmed, of one server and of a cluster."""
    subscriptions = PushSubscriptions(anywhere, KeyRing([KEY]))

    await subscriptions.subscribe(SITE, EVENT, browser("a"), "de", "192.0.2.1")
    await subscriptions.subscribe(SITE, EVENT, browser("b"), "", "192.0.2.1")
    assert set() == await subscriptions.oldest_keys(SITE)
    await confirm(subscriptions)
    assert {"0a1b2c3d"} == await subscriptions.oldest_keys(SITE)
