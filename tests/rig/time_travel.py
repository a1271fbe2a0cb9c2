"""Lets time pass for Redis without waiting: moves all times that it stores of a site into the past.

The scripts use only Redis's clock, which cannot be set: with all stored times 30 s earlier, it is as if 30 s had passed.
TTLs and the ids of stream entries do not change.
"""

from collections.abc import Sequence
from dataclasses import replace

from server.model import SiteId, TicketId
from server.redis.client import RedisClient
from server.store.claims import Lot
from server.store.schedule import EVENTS, TICKETS
from server.store.timing import micros
from tests.rig.default_keys import key

MOVE = """
for k = 1, 8 do
  local found = redis.call('ZRANGE', KEYS[k], 0, -1, 'WITHSCORES')
  for i = 1, #found, 2 do
    redis.call('ZADD', KEYS[k], string.format('%.0f', found[i + 1] - ARGV[1]), found[i])
  end
end
for _, member in ipairs(redis.call('ZRANGE', KEYS[9], 0, -1)) do
  local ticket, moment = string.match(member, '(.*):(%d+)')
  redis.call('ZREM', KEYS[9], member)
  redis.call('ZADD', KEYS[9], 0, ticket .. ':' .. string.format('%.0f', moment - ARGV[1]))
end
for k = 10, #KEYS do
  local found = redis.call('HGETALL', KEYS[k])
  for i = 1, #found, 2 do
    local moment = tonumber(found[i + 1])
    if moment and moment > 1e15 and found[i] ~= 'v' then
      redis.call('HSET', KEYS[k], found[i], string.format('%.0f', moment - ARGV[1]))
    end
  end
end
"""
"""Every number that large is a time in microseconds; `v` is left as it is, since the counter's text has it too."""


async def elapse(
    store: RedisClient, site: SiteId, seconds: float, tickets: Sequence[TicketId] = (), events: Sequence[str] = ()
) -> None:
    """Let so many seconds pass for a site's schedule and budget, and for the snapshots of these tickets and events."""
    sets = (*TICKETS, "claimed", *EVENTS, "shown_watched")
    keys = [key(site, name) for name in (*sets, "holds", "reads", "site", "heard")]
    keys += [key(site, "ticket", ticket) for ticket in tickets]
    keys += [key(site, "event_snapshot", event) for event in events]
    await store.do("EVAL", MOVE, len(keys), *keys, micros(seconds))


def aged(lot: Lot, seconds: float) -> Lot:
    """The same lot, claimed so many seconds earlier."""
    return replace(lot, version=lot.version - micros(seconds), lease=lot.lease - micros(seconds))
