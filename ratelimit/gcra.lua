-- SPDX-License-Identifier: Apache-2.0
-- One decision on one shared bucket: ratelimit/gcra.h on the server's clock.
--
-- KEYS[1]  the bucket: its TAT as an integer, or missing, which means full
-- ARGV[1]  ticks one request costs (a tick is 100 ns)
-- ARGV[2]  ticks of a full bucket
-- ARGV[3]  n takes one request, after n - 1 that passed without asking; 0 gives one back
-- Returns {allowed 0 or 1, requests left, microseconds until one (more) fits}.
--
-- Ticks count from 2025, so that they are exact in a double until 2053. The key
-- expires when the bucket is full, so expiry never changes a decision. A TAT
-- beyond an empty bucket is a debt; it is cut at one bucket, so that neither a long
-- outage nor another clock (failover) locks clients out.
local t = redis.call('TIME')
local now = (tonumber(t[1]) - 1735689600) * 10000000 + tonumber(t[2]) * 10
local step, span = tonumber(ARGV[1]), tonumber(ARGV[2])
local old = tonumber(redis.call('GET', KEYS[1]) or nil)
local take = tonumber(ARGV[3])
local tat = math.max(old or now, now) + math.max(take - 1, 0) * step
tat = math.min(tat, now + 2 * span)
local room = span - (tat - now)
local allowed = 0
if take == 0 then
  tat = math.max(tat - step, now)
  room = span - (tat - now)
elseif room >= step then
  allowed = 1
  tat = tat + step
  room = room - step
end
if tat <= now then
  if old then redis.call('DEL', KEYS[1]) end
elseif tat ~= old then
  redis.call('SET', KEYS[1], string.format('%.0f', tat), 'PX', math.ceil((tat - now) / 10000))
end
local rest = room < 0 and room or room % step
return {allowed, math.max(math.floor(room / step), 0), math.ceil((step - rest) / 10)}
