-- gap: how long a site's next lot waits after its last one, and a ticket after its own last read. Needs clock, budget.
-- gives  claimed_lately(claimed, gap)         the tickets claimed within the last `gap`, each with the time of its claim
--        claimed_now(claimed, gap, lot)       the tickets of this lot are claimed now
--        gap_end(b, kind, gaps)               when the gap before a lot of this kind ends. The kind is that of its most
--                                             urgent ticket: fresh (a hint that was not read yet), hinted (a later read
--                                             after one), watched, rest. gaps.lot and gaps.watched are microseconds,
--                                             gaps.no_gap_from is tokens
--        joined(b, opens, since, ends, gaps)  when a lot for fresh hints begins that might begin at `opens`: perhaps later,
--                                             to take a fresh hint along whose ticket may be read only when `ends` has
--                                             come. `since` is the time of the lot's oldest hint
-- keeps  a fresh hint is read at once while the bucket holds `no_gap_from` tokens: with a few orders a second, each is shown
--        at once. Below that hints gather for `gap`, so a rush leaves tokens. What is not fresh waits for the gap whatever
--        the bucket holds, since it would use up the tokens that make fresh hints quick. A ticket waits for `gap` from its
--        last claim, so a thousand hints at one ticket cost two reads a second; since the claim counts, this holds while
--        the read is in flight, and for all workers. Where the tokens are just enough for a lot now, a ticket that may be
--        read in a moment would find too few then, and wait for longer than `gap` in all. Both are read in that moment, if
--        no hint of the lot gets older than `gap` by it: the calls are as many, and the longest wait is shorter.

local function claimed_lately(claimed, gap)
  local lately = {}
  local found = redis.call('ZRANGE', claimed, '(' .. int(now - gap), '+inf', 'BYSCORE', 'WITHSCORES')
  for i = 1, #found, 2 do
    local at = tonumber(found[i + 1])
    if at > now then
      -- By a clock that was set back: the ticket may wait for one gap from now, and no longer.
      at = now
      redis.call('ZADD', claimed, int(at), found[i])
    end
    lately[found[i]] = at
  end
  return lately
end

local function claimed_now(claimed, gap, lot)
  redis.call('ZREMRANGEBYSCORE', claimed, '-inf', int(now - gap))
  local scored = {}
  for _, ticket in ipairs(lot) do
    scored[#scored + 1] = int(now)
    scored[#scored + 1] = ticket
  end
  redis.call('ZADD', claimed, unpack(scored))
end

-- Tokens are stored with six digits: without this the wait for a token would be followed by one of a microsecond.
local ROUNDED = 0.000001

local function gap_end(b, kind, gaps)
  if kind == 'watched' then
    return b.last_lot + gaps.watched
  end
  local at = b.last_lot + gaps.lot
  if kind == 'fresh' then
    -- Reads in flight may keep the bucket below that for longer: then the gap ends first.
    at = math.min(at, now + math.max(0, gaps.no_gap_from - ROUNDED - b.tokens) / b.refill * 1000000)
  end
  return at
end

local function joined(b, opens, since, ends, gaps)
  local left = b.tokens + (opens - now) / 1000000 * b.refill - 1
  local enough = left + (ends - opens) / 1000000 * b.refill >= gaps.no_gap_from - ROUNDED
  if ends <= opens or enough or ends > since + gaps.lot then
    return opens
  end
  return ends
end
