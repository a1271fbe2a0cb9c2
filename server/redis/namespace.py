"""The namespace of a deployment: what its keys and channels begin with, so that deployments may share a Redis.

In: the URL of Redis, and a prefix. Out: how names begin. Redis keeps the keys of its databases apart, but not the channels:
a message reaches the subscribers of every database (Redis, "Pub/Sub", section "Database & Scoping"). So the names of
channels contain the number of the database, except for 0.
"""

import re
from dataclasses import dataclass

from server.redis.url import read_url

DEFAULT_PREFIX = "tc"
_PREFIX = re.compile(r"[A-Za-z0-9_.-]{1,40}")


@dataclass(frozen=True, slots=True)
class Namespace:
    """What the names of `keys` begin with, and those of `channels`."""

    keys: str = DEFAULT_PREFIX
    channels: str = DEFAULT_PREFIX

    @classmethod
    def of(cls, url: str, prefix: str = DEFAULT_PREFIX) -> "Namespace":
        """The namespace of a *prefix* in the database that the URL names; raises ValueError for a URL that cannot be read."""
        db = read_url(url).db
        # No prefix contains `@`, so the `a@3` of `a` in database 3 is the name of no other.
        return cls(prefix, prefix if db == 0 else f"{prefix}@{db}")


def is_prefix(text: str) -> bool:
    """Whether this may be a prefix: no `:` or `@`, which end it, no braces, which choose a cluster's slot, no pattern."""
    return _PREFIX.fullmatch(text) is not None
