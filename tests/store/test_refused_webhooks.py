import time
from contextlib import aclosing

from server.redis.client import RedisClient, Use
from server.store.refused_webhooks import KEPT_FOR, Refusal, RefusedWebhook, RefusedWebhooks
from tests.rig.default_keys import KEYS

KEY = KEYS.refused_webhook


async def test_last_refused_webhook_is_remembered(redis_url: str) -> None:
    """The last refused webhook is remembered with its reason and its time, for seven days."""
    async with aclosing(RedisClient(redis_url, Use.WORK)) as redis:
        refused = RefusedWebhooks(redis)
        assert await refused.read() is None

        await refused.write(Refusal.WRONG_TIME)
        await refused.write(Refusal.OTHER_KEY)

        found = await refused.read()
        assert isinstance(found, RefusedWebhook)
        assert Refusal.OTHER_KEY is found.refusal
        assert abs(time.time() - found.at) < 5
        assert KEPT_FOR - 5 < await redis.do("TTL", KEY) <= KEPT_FOR


async def test_words_of_another_version_are_none(redis_url: str) -> None:
    """What another version wrote in other words is as if nothing were there."""
    async with aclosing(RedisClient(redis_url, Use.WORK)) as redis:
        for text in ("[]", "nonsense", '{"refusal": "of another kind", "at": 1}', '{"refusal": "other_key"}'):
            await redis.do("SET", KEY, text)
            assert await RefusedWebhooks(redis).read() is None
