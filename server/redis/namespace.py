"""The namespace of a deployment: what its keys and channels begin with, so that deployments may share a Redis.

In: the URL of Redis, and a prefix. Out: how names begin. Redis keeps the keys of its databases apart, but not the channels:
a message reaches the subscribers of every database (Redis, "Pub/Sub", section "Database & Scoping"). So the names of
channels contain the number of the database, except for 0.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from redis.asyncio.connection import parse_url

DEFAULT_PREFIX = "tc"
CLUSTER_SCHEME = "redis+cluster://"
SCHEMES = ("redis://", "rediss://", "unix://", CLUSTER_SCHEME)
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
        # No prefix contains `@`, so the `a@3` of `a` in database 3 is the name of no other.
        return cls(prefix, prefix if db == 0 else f"{prefix}@{db}")


def is_prefix(text: str) -> bool:
    """Whether this may be a prefix: no `:` or `@`, which end it, no braces, which choose a cluster's slot, no pattern."""
    return _PREFIX.fullmatch(text) is not None


def check_url(url: str) -> None:
    """Raise ValueError, with a text that tells no part of the URL, if it is none of Redis or its database is none."""
    if not url.startswith(SCHEMES):
        raise ValueError(f"the address must start with one of {', '.join(SCHEMES)}")
    try:
        db = db_of(url)
    except ValueError:
        # The error's text may quote a part of the password.
        raise ValueError(
            "the address cannot be read: write it as redis://:password@host:6379/0, "
            "with special characters of the password percent-encoded"
        ) from None
    if db and url.startswith(CLUSTER_SCHEME):
        raise ValueError("a cluster has only database 0: leave the number out, and set REDIS_PREFIX instead")
    if not url.startswith("unix:") and not re.fullmatch(r"/?[0-9]*", urlsplit(url).path):
        # redis-py takes any other text for database 0.
        raise ValueError("what follows the host must be the number of a database, as in redis://host:6379/0")


def db_of(url: str) -> int:
    """The database that a URL names, in whichever form; raises ValueError for a URL that cannot be read."""
    # redis-py's own parser, so that it is the database in which the connections are.
    return int(parse_url(url.replace(CLUSTER_SCHEME, "redis://", 1)).get("db", 0))
