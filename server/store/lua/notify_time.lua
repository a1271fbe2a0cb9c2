-- notify_time: times of notify are seconds since 1970, as decimal text.
-- gives  seconds()  now by Redis's clock; seconds(us) so many microseconds as seconds
--        keep(...)  each of these keys is kept for 90 days from now

local function seconds(us)
  return string.format('%.6f', (us or now) / 1e6)
end

local function keep(...)
  for _, key in ipairs({ ... }) do
    redis.call('EXPIRE', key, 7776000)
  end
end
