"""Lets time pass for the requests of notify without waiting: moves the times that are stored there into the past, and ends of keys."""

from server.model import SiteId
from server.redis.client import RedisClient
from tests.rig.default_keys import KEYS

MOVE = """
local by = tonumber(ARGV[1])
for _, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  if kind == 'zset' then
    local found = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    for i = 1, #found, 2 do
      redis.call('ZADD', key, string.format('%.6f', found[i + 1] - by), found[i])
    end
  elseif kind == 'hash' then
    local found = redis.call('HGETALL', key)
    for i = 1, #found, 2 do
      -- The row of a request begins with the time when it was asked; the values of other hashes do not.
      local asked_at, rest = string.match(found[i + 1], '^(%d+%.%d+) (%d+ %S+ %S+ .*)$')
      if asked_at then
        redis.call('HSET', key, found[i], string.format('%.6f ', asked_at - by) .. rest)
      end
    end
  end
  local left = redis.call('PTTL', key)
  if left >= 0 then
    redis.call('PEXPIRE', key, math.floor(left - by * 1000))
  end
end
"""


async def elapse_for_requests(store: RedisClient, site: SiteId, seconds: float) -> None:
    """Let so many seconds pass for all requests of a site."""
    keys = [str(one) for one in await store.do("KEYS", KEYS.key(site, "notify", "requests", "*"))]
    await store.do("EVAL", MOVE, len(keys), *keys, seconds)
