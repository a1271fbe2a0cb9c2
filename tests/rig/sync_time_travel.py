"""Lets time pass for the keys of sync without waiting: moves all times that are stored there into the past, and ends of keys."""

from server.model import SiteId
from server.redis.client import RedisClient
from server.store.timing import micros
from tests.rig.default_keys import KEYS

MOVE = """
local by = tonumber(ARGV[1])
for _, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  if kind == 'zset' then
    local found = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    for i = 1, #found, 2 do
      redis.call('ZADD', key, string.format('%.0f', found[i + 1] - by), found[i])
    end
  elseif kind == 'hash' then
    local found = redis.call('HGETALL', key)
    for i = 1, #found, 2 do
      redis.call('HSET', key, found[i], string.format('%.0f', found[i + 1] - by))
    end
  end
  local left = redis.call('PTTL', key)
  if left >= 0 then
    redis.call('PEXPIRE', key, math.floor(left - by / 1000))
  end
end
"""


async def elapse_at_site(store: RedisClient, site: SiteId, target: str, seconds: float) -> None:
    """Let so many seconds pass for what is due and leased; with fewer than 0, Redis's clock is set back."""
    await _elapse(store, [KEYS.sync(site, target, name) for name in ("due", "leased")], seconds)


async def elapse_at_target(store: RedisClient, target: str, seconds: float, number: int | str = 0) -> None:
    """Let so many seconds pass for a target's budget, and for one of its leases; with fewer than 0, Redis's clock is set back."""
    lease = [KEYS.target(target, name, str(number)) for name in ("lease", "lease_queue")]
    await _elapse(store, [KEYS.target(target, "budget"), *lease], seconds)


async def _elapse(store: RedisClient, keys: list[str], seconds: float) -> None:
    await store.do("EVAL", MOVE, len(keys), *keys, micros(seconds))
