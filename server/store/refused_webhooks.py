"""The last webhook that was refused although it looked like Wix's: because of its signature, or of its time.

In: why it was refused. Out: that, and when, for `doctor`, which compares it with the last webhook that was taken. Nothing of the webhook
itself is stored, since anyone may have sent it.
"""

import json
from dataclasses import dataclass
from enum import StrEnum

from server.redis.client import RedisClient
from server.store.keys import Keys

KEPT_FOR = 7 * 86_400
"""Seconds: Wix sends a refused webhook again for two days."""


class Refusal(StrEnum):
    """Why a webhook was refused."""

    OTHER_KEY = "other_key"
    WRONG_TIME = "wrong_time"


@dataclass(frozen=True, slots=True)
class RefusedWebhook:
    """Why the last one was refused, and when, in seconds since 1970 by Redis's clock."""

    refusal: Refusal
    at: float


class RefusedWebhooks:
    """The last one of a deployment. Each method raises RedisUnavailable."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._key = Keys(redis.namespace).refused_webhook

    async def write(self, refusal: Refusal) -> None:
        """Remember that one was refused just now."""
        seconds, microseconds = await self._redis.do("TIME")
        said = json.dumps({"refusal": refusal, "at": int(seconds) + int(microseconds) / 1e6})
        await self._redis.do("SET", self._key, said, "EX", KEPT_FOR)

    async def read(self) -> RefusedWebhook | None:
        """The last one; None where there is none of the last days."""
        text = await self._redis.do("GET", self._key)
        if text is None:
            return None
        try:
            found = json.loads(text)
            return RefusedWebhook(Refusal(found["refusal"]), float(found["at"]))
        except (ValueError, TypeError, KeyError):
            return None  # of a version that says it differently
