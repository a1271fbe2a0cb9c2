from contextlib import aclosing

from pydantic import SecretStr

from server.doctor import push
from server.doctor.deployment import Deployment
from server.doctor.finding import Finding
from server.keyring import KeyRing
from server.model import EventId, SiteId
from server.notify.config import PushSettings
from server.push_subscription import PushSubscription
from server.redis.client import RedisClient, Use
from server.store.push_subscriptions import PushSubscriptions
from server.store.schedule import Schedule
from server.vapid import key_id, new_key, public_key
from tests.rig.push_service import Subscriber
from tests.rig.server import SITE
from tests.rig.settings import valid_settings

CONTACT = "news@example.org"
KEY = "n" * 43


async def found_with(redis_url: str, *keys: str, contact: str = CONTACT) -> list[Finding]:
    async with aclosing(Deployment(valid_settings(notify_keys=KEY))) as deployment:
        deployment.redis = RedisClient(redis_url, Use.WORK)
        settings = PushSettings(tuple(map(SecretStr, keys)), contact)
        return [one async for one in push.found(deployment, settings)]


async def test_keys_of_push(redis_url: str) -> None:
    """Keys that sign are right; a key with which a browser subscribed and that is no more is a fault that names its id."""
    key, old = new_key(), new_key()
    async with aclosing(RedisClient(redis_url, Use.WORK)) as redis:
        await Schedule(redis).add_site(SiteId(SITE), valid_settings().rules, everything=True)
        subscriber = Subscriber("https://fcm.googleapis.com/fcm/send/a", "").json()
        one = PushSubscription.read(subscriber, key_id(public_key(old)), ())
        subscriptions = PushSubscriptions(redis, KeyRing([KEY]))
        await subscriptions.subscribe(SiteId(SITE), EventId("event-1"), one, "", "192.0.2.1")
        (stored,) = await subscriptions.claim_first(SiteId(SITE), 1)
        assert await subscriptions.confirm(subscriptions.token(stored))

    (right,) = await found_with(redis_url, key, old)
    (lost,) = await found_with(redis_url, key)

    assert ("ok", "fault") == (right.level, lost.level)
    assert key_id(public_key(old)) in lost.what


async def test_contact_that_is_no_address(redis_url: str) -> None:
    """A contact that push services cannot write to is a fault."""
    (found,) = await found_with(redis_url, new_key(), contact="no address")

    assert "fault" == found.level
