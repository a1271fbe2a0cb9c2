"""The namespace of a deployment: what its keys and channels begin with, so that deployments may share a Redis.

In: the URL of Redis, and a prefix. Out: how names begin. Redis keeps the keys of its databases apart, but not the channels:
a message reaches the subscribers of every database (Redis, "Pub/Sub", section "Database & Scoping"). So the names of
channels contain the number of the database, except for 0.
"""

import re
from dataclasses import dataclass

from redis.asyncio.connection import parse_url

DEFAULT_PREFIX = "tc"
CLUSTER_SCHEME = "redis+cluster://"
_PREFIX = re.compile(r"[A-Za-z0-9_.-]{1,40}")


@dataclass(frozen=True, slots=True)
class Namespace:
    """What the names of `keys` begin with, and those of `channels`."""

    keys: str = DEFAULT_PREFIX
    channels: str = DEFAULT_PREFIX

    @classmethod
    def of(cls, url: str, prefix: str = DEFAULT_PREFIX) -> "Namespace":
        """The namespace of a *prefix* in the database that the URL names; raises ValueError for a URL that cannot be read."""
        db = db_of(url)
        # No prefix contains `@`, so `a` in database 3 is nobody else's `a@3`.
        return cls(prefix, prefix if db == 0 else f"{prefix}@{db}")


def is_prefix(text: str) -> bool:
    """Whether this may be a prefix: no `:` or `@`, which end it, no braces, which choose a cluster's slot, no pattern."""
    return _PREFIX.fullmatch(text) is not None


def db_of(url: str) -> int:
    """The database that a URL names, in whichever form; raises ValueError for a URL that cannot be read."""
    # redis-py's own parser, so that it is the database in which the connections are.
    return int(parse_url(url.replace(CLUSTER_SCHEME, "redis://", 1)).get("db", 0))
