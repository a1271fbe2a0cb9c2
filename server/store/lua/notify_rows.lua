-- notify_rows: the rows of an outbox, as its scripts read and change them.
-- keys   campaign, run, rows, claimed, waiting, unknown, lease; a script may have more
-- gives  read_row(row)     its state, attempts, next_try, worker, at and reason, or nil
--        change(row, was, is)  writes it, and what is counted of it; `was` is nil of a new row
-- keeps  a row's state, its place among those that are claimed, waiting or unknown, and the counts change in one step.

local campaign, run, rows, claimed, waiting, unknown, lease = unpack(KEYS)

local function read_row(row)
  local text = redis.call('HGET', rows, row)
  if not text then
    return nil
  end
  local state, attempts, next_try, worker, at, reason = string.match(text, '^(%a+) (%d+) (%S+) (%S+) (%S+) (.*)$')
  return { state = state, attempts = tonumber(attempts), next_try = next_try, worker = worker, at = at, reason = reason }
end

local function count(one, by)
  redis.call('HINCRBY', run, one.state, by)
  if one.reason ~= '' then
    local name = 'reason:' .. one.state .. ':' .. one.reason
    if redis.call('HINCRBY', run, name, by) == 0 then
      redis.call('HDEL', run, name)
    end
  end
end

local function change(row, was, is)
  if was then
    count(was, -1)
    if was.state == 'claimed' then
      redis.call('ZREM', claimed, row)
    elseif was.state == 'waiting' then
      redis.call('ZREM', waiting, row)
    elseif was.state == 'unknown' then
      redis.call('SREM', unknown, row)
    end
  end
  count(is, 1)
  if is.state == 'claimed' then
    redis.call('ZADD', claimed, seconds(), row)
  elseif is.state == 'waiting' then
    redis.call('ZADD', waiting, is.next_try, row)
  elseif is.state == 'unknown' then
    redis.call('SADD', unknown, row)
  end
  local parts = { is.state, is.attempts, is.next_try, is.worker, seconds(), is.reason }
  redis.call('HSET', rows, row, table.concat(parts, ' '))
  keep(campaign, run, rows, claimed, waiting, unknown)
end
