"""The names of keys and channels of a deployment with the default prefix in database 0, which nearly all tests use."""

from server.redis.namespace import Namespace
from server.store.keys import Keys

KEYS = Keys(Namespace())
SITES = KEYS.sites
WAKE = KEYS.wake
key = KEYS.key
channel = KEYS.channel
