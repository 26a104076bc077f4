-- Token buckets and leases, for package redisstore. See store.go of package
-- ratelimit for what each operation means; the semantics are defined there.
--
-- KEYS  the distinct keys that the records below name by number
-- ARGV  records, each: op, times, count, then count buckets of
--           key number, rate, period, cap, cost, lease
--       times > 1 only for a take without leases: that many equal calls in turn.
-- Reply integers, for each record: granted, then for each bucket a unit count
--       and a flag. granted is how many of the calls passed, -1 for a key that
--       holds something else (its flag is then 1).
--
-- Every number is an integer below 2^53, which a Lua number holds exactly.
-- fmod is exact; % and / of such numbers are not, except where / has no rest.

local fmod, format, match = math.fmod, string.format, string.match
local TAKE, PEEK, CHARGE, CREDIT, RESET = 1, 2, 3, 4, 5
local MAX = 4503599627370496 -- 2^52, MaxUnits
local STEP = 1000000         -- a clock that is further behind than this is another clock

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

local function int(x) return format('%.0f', x) end -- the default is %.14g

local function ceil_div(a, b)
  local rest = fmod(a, b)
  local q = (a - rest) / b
  if rest > 0 then q = q + 1 end
  return q
end

-- floor(level * period / stored), clamped to [-cap, cap]. The product has up to
-- 104 bits, so one bit of period at a time: q and rest stay below 2^53.
local function carry(level, period, stored, cap)
  local a = level < 0 and -level or level
  local a_rest = fmod(a, stored)
  local a_q = (a - a_rest) / stored
  local q, rest, bit = 0, 0, MAX
  while bit >= 1 do
    q, rest = 2 * q, 2 * rest
    if rest >= stored then q, rest = q + 1, rest - stored end
    if period >= bit then
      period = period - bit
      q, rest = q + a_q, rest + a_rest
      if rest >= stored then q, rest = q + 1, rest - stored end
    end
    if q > cap then q, rest = cap, 0 break end -- it only grows
    bit = bit / 2
  end
  if level >= 0 then return q end
  if rest > 0 and q < cap then q = q + 1 end
  return -q
end

-- reply of a read, or nil and true where the key holds another type. Any other
-- error (no permission, say) ends the script, which has then written nothing.
local function read(...)
  local v = redis.pcall(...)
  if type(v) == 'table' and v.err then
    if match(v.err, 'WRONGTYPE') then return nil, true end
    error(v.err)
  end
  return v
end

-- What a key held when the script began, brought up to now, and what the
-- records before this one have made of it. Written once, at the end.
local states = {}

local function parse(v, s)
  local level, last, rate, period, cap = match(v, '^b1 (%-?%d+) (%d+) (%d+) (%d+) (%d+)$')
  if not level then return false end
  level, last = tonumber(level), tonumber(last)
  rate, period, cap = tonumber(rate), tonumber(period), tonumber(cap)
  if rate < 1 or rate > MAX or period < 1 or period > MAX or cap < period or cap > MAX
    or level < -cap or level > cap or last > 2 * MAX then
    return false
  end
  local elapsed = now - last
  if elapsed < -STEP then
    -- Written by a server whose clock was ahead, before a failover. To wait for
    -- that time would lock the client out; to forget the bucket would let it in.
    s.dirty, elapsed = true, 0
  elseif elapsed < 0 then
    s.last, elapsed = last, 0
  end
  s.full = elapsed >= ceil_div(cap - level, rate)
  s.level = s.full and cap or level + elapsed * rate
  s.rate, s.period, s.cap = rate, period, cap
  return true
end

local function load(i)
  local s = states[i]
  if s then return s end
  s = { last = now, full = true }
  states[i] = s
  local v, wrong = read('GET', KEYS[i])
  if wrong then
    s.bad = true
  elseif v then
    s.stored = true
    s.bad = not parse(v, s)
  end
  return s
end

local function level_of(s, rate, period, cap)
  if s.full then return cap end
  local level = s.level
  if period ~= s.period then return carry(level, period, s.period, cap) end
  if level > cap then return cap end
  if level < -cap then return -cap end
  return level
end

local function put(s, level, rate, period, cap)
  s.dirty, s.full = true, level >= cap
  s.level, s.rate, s.period, s.cap = level, rate, period, cap
end

local function flush()
  for i, s in pairs(states) do
    if s.dirty and not s.full then
      -- 1 ms more: both ends of the time to live are cut to milliseconds.
      local ms = ceil_div(s.last - now + ceil_div(s.cap - s.level, s.rate), 1000) + 1
      redis.call('SET', KEYS[i], 'b1 ' .. int(s.level) .. ' ' .. int(s.last) .. ' ' .. int(s.rate)
        .. ' ' .. int(s.period) .. ' ' .. int(s.cap), 'PX', int(ms))
    elseif s.dirty and s.stored then
      redis.call('DEL', KEYS[i])
    end
  end
end

-- Leases: a sorted set of names, each with the microsecond at which it ends.

local function lease_load(i, name)
  local free, wrong = read('ZCOUNT', KEYS[i], '(' .. int(now), '+inf')
  if wrong then return nil end
  local ends = name ~= '' and redis.call('ZSCORE', KEYS[i], name)
  return free, ends and tonumber(ends) > now
end

local function lease_put(i, name, period)
  -- ZADD first: only a script's first write is refused when memory runs out.
  redis.call('ZADD', KEYS[i], int(now + period), name)
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', int(now))
  local top = redis.call('ZREVRANGE', KEYS[i], 0, 0, 'WITHSCORES')
  redis.call('PEXPIRE', KEYS[i], int(ceil_div(tonumber(top[2]) - now, 1000) + 1))
end

local out, n = {}, 0
local key, rate, period, cap, cost, lease = {}, {}, {}, {}, {}, {}
local state, level, mine = {}, {}, {}

-- Reads what a record needs. Fills level (units; of leases: free places), state
-- (nil of leases) and mine. False where a key holds something else.
local function look(count)
  local good = true
  for b = 1, count do
    if rate[b] == 0 then
      local alive
      alive, mine[b] = lease_load(key[b], lease[b])
      state[b], level[b] = nil, alive and cap[b] - alive
      good = good and alive
    else
      local s = load(key[b])
      state[b] = s
      if s.bad then good = false else level[b] = level_of(s, rate[b], period[b], cap[b]) end
    end
  end
  return good
end

local function bad(count)
  out[n + 1] = -1
  for b = 1, count do
    out[n + 2 * b] = 0
    out[n + 2 * b + 1] = (state[b] and state[b].bad or not state[b] and not level[b]) and 1 or 0
  end
end

-- Replies with the levels before: the caller knows what each grant costs.
-- Flag of a lease: 0 no place, 1 added, 2 renewed. Of a token bucket: 1 if it
-- grows as the call's limits say even where nothing is written.
local function take(count, granted)
  for b = 1, count do
    local flag = 0
    if rate[b] == 0 then
      flag = mine[b] and 2 or level[b] > 0 and 1 or 0
      if flag == 0 then granted = 0 end
    else
      local s = state[b]
      flag = (s.full or s.rate == rate[b] and s.period == period[b] and s.cap == cap[b]) and 1 or 0
      if cost[b] > level[b] and cost[b] > 0 then
        granted = 0
      elseif cost[b] > 0 then
        local fit = (level[b] - fmod(level[b], cost[b])) / cost[b]
        if fit < granted then granted = fit end
      end
    end
    out[n + 2 * b], out[n + 2 * b + 1] = level[b], flag
  end
  out[n + 1] = granted
  if granted == 0 then return end
  for b = 1, count do
    if rate[b] == 0 then
      lease_put(key[b], lease[b], period[b])
    elseif cost[b] > 0 then
      put(state[b], level[b] - granted * cost[b], rate[b], period[b], cap[b])
    end
  end
end

local function lease_do(op, b)
  local free, alive = level[b], mine[b]
  if op == PEEK then return free, free > 0 end
  if op == CHARGE then
    lease_put(key[b], lease[b], period[b])
    return alive and free or free - 1, true
  end
  if op == CREDIT then
    if alive then redis.call('ZREM', KEYS[key[b]], lease[b]) end
    return alive and free + 1 or free, alive
  end
  redis.call('DEL', KEYS[key[b]])
  return cap[b], true
end

local function bucket_do(op, b)
  local s, l, c, max = state[b], level[b], cost[b], cap[b]
  if op == PEEK then return l, c == 0 or l >= c end
  local ok = true
  if op == CHARGE then
    ok = c <= l + max -- at most 2^53: exact; l - c may not be
    if ok then l = l - c else l = -max end
  elseif op == RESET or c >= max - l then
    l = max
  else
    l = l + c
  end
  put(s, l, rate[b], period[b], max)
  return l, ok
end

local p, last = 1, #ARGV
while p <= last do
  local op, times, count = tonumber(ARGV[p]), tonumber(ARGV[p + 1]), tonumber(ARGV[p + 2])
  p = p + 3
  for b = 1, count do
    key[b], rate[b], period[b] = tonumber(ARGV[p]), tonumber(ARGV[p + 1]), tonumber(ARGV[p + 2])
    cap[b], cost[b], lease[b] = tonumber(ARGV[p + 3]), tonumber(ARGV[p + 4]), ARGV[p + 5]
    p = p + 6
  end
  if not look(count) then
    bad(count)
  elseif op == TAKE then
    take(count, times)
  else
    out[n + 1] = times
    for b = 1, count do
      local units, ok = (rate[b] == 0 and lease_do or bucket_do)(op, b)
      out[n + 2 * b], out[n + 2 * b + 1] = units, ok and 1 or 0
    end
  end
  n = n + 1 + 2 * count
end
flush()
return out
