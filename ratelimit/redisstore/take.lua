-- Token buckets and leases, for package redisstore. What each operation means is
-- defined in store.go of package ratelimit.
--
-- KEYS   the distinct keys that the records name by number
-- ARGV   records, each: op, times, count, then for each of count buckets
--            key number, "rate period cap", cost, lease
--        lease is '' of a token bucket, '-' where an operation on leases names
--        none. times > 1 only for a take without leases: so many equal calls in
--        turn.
-- Reply  integers, for each record: granted, then for each bucket a number of
--        units and a flag. granted is how many of the calls passed; -1 where a
--        key holds something else, whose flag is then 1.
--
-- A token bucket is a string "b1 level last rate period cap", last in
-- microseconds. A key that is not there is a full one. Leases are a sorted set
-- of names by the microsecond at which they end.
--
-- Every number is an integer of at most 2^53, which a Lua number holds exactly.
-- fmod is exact; % is not, and / only where nothing is left over.
--
-- It is written for speed where most calls pass: functions and tables are made
-- anew in each run, so the most usual call comes first and makes none.

local fmod, format, match = math.fmod, string.format, string.match
local MAX = 4503599627370496 -- 2^52
local STEP = 1000000         -- a clock that is further behind than this is another clock

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- The usual call: takes from one bucket whose limits have not changed, of a clock
-- that has not gone back. Whatever is otherwise is left to the rest of the script,
-- which would do the same here too.
if #ARGV == 7 and ARGV[1] == '1' and ARGV[7] == '' then
  local text, cost = ARGV[5], tonumber(ARGV[6])
  local rate, cap = match(text, '^(%d+) %d+ (%d+)$')
  rate, cap = tonumber(rate), tonumber(cap)
  local v = redis.pcall('GET', KEYS[1])
  local level, last, stored = cap, now, text
  if type(v) == 'string' then
    level, last, stored = match(v, '^b1 (%-?%d+) (%d+) (.+)$')
    level, last = tonumber(level), tonumber(last)
  elseif v then
    stored = nil -- another type, or an error
  end
  if stored == text and cost > 0 and last <= now and level >= -cap and level <= cap then
    local elapsed, missing = now - last, cap - level
    if elapsed < (missing - fmod(missing, rate)) / rate + 1 and elapsed * rate < missing then
      level = level + elapsed * rate
    else
      level = cap
    end
    local times, fits = tonumber(ARGV[2]), 0
    if level >= cost then fits = (level - fmod(level, cost)) / cost end
    if fits > times then fits = times end
    if fits > 0 then
      local after = level - fits * cost
      missing = cap - after
      local left = (missing - fmod(missing, rate)) / rate + 1
      redis.call('SET', KEYS[1], format('b1 %.0f %.0f %s', after, now, text), 'PX', (left - fmod(left, 1000)) / 1000 + 2)
    end
    return { fits, level, 1 }
  end
end

local function bad_type(reply) -- other errors end the script, which has written nothing yet
  if type(reply) ~= 'table' or not reply.err then return false end
  if match(reply.err, 'WRONGTYPE') then return true end
  error(reply.err)
end

-- What a key held when the script began, brought up to now, and what the records
-- since have made of it. Written once, at the end.
local states = {}

-- Limits by their text: few, for many keys. nil where they are none.
local limits_of = {}

local function parse(text)
  local rate, period, cap = match(text, '^(%d+) (%d+) (%d+)$')
  rate, period, cap = tonumber(rate), tonumber(period), tonumber(cap)
  if not rate or rate > MAX or period < 1 or period > MAX or cap < 1 or cap > MAX then return nil end
  local limits = { rate = rate, period = period, cap = cap, text = text }
  limits_of[text] = limits
  return limits
end

local function load(k, limits)
  local v = redis.pcall('GET', KEYS[tonumber(k)])
  local s = { limits = limits, level = limits.cap, last = now }
  states[k] = s
  if not v then return s end
  if bad_type(v) then
    s.bad = true
    return s
  end
  local level, last, text = match(v, '^b1 (%-?%d+) (%d+) (.+)$')
  limits, level, last = text and (limits_of[text] or parse(text)), tonumber(level), tonumber(last)
  if not limits or limits.rate == 0 or level < -limits.cap or level > limits.cap or last > 2 * MAX then
    s.bad = true
    return s
  end
  s.limits, s.level, s.stored = limits, limits.cap, true
  local elapsed = now - last
  if elapsed < -STEP then
    -- Written by a server whose clock was ahead, before a failover. To wait for
    -- that time would lock the client out.
    s.dirty, elapsed = true, 0
  elseif elapsed < 0 then
    s.last, elapsed = last, 0
  end
  local rate, missing = limits.rate, limits.cap - level
  if elapsed < (missing - fmod(missing, rate)) / rate + 1 and elapsed * rate < missing then
    s.level = level + elapsed * rate
  end
  return s
end

-- The bucket under other limits: the tokens are carried over, rounded down.
local function carried(s, limits)
  local v = { limits = limits, level = limits.cap, last = s.last, stored = s.stored }
  if s.level == s.limits.cap then return v end
  -- |level| * period / stored period: the product has up to 104 bits, so one bit
  -- of period at a time. quotient and rest stay within 2^53.
  local a = s.level < 0 and -s.level or s.level
  local period, stored, cap = limits.period, s.limits.period, limits.cap
  local a_rest = fmod(a, stored)
  local a_whole = (a - a_rest) / stored
  local quotient, rest, bit = 0, 0, MAX
  while bit >= 1 and quotient <= cap do -- it only grows
    quotient, rest = 2 * quotient, 2 * rest
    if rest >= stored then quotient, rest = quotient + 1, rest - stored end
    if period >= bit then
      period = period - bit
      quotient, rest = quotient + a_whole, rest + a_rest
      if rest >= stored then quotient, rest = quotient + 1, rest - stored end
    end
    bit = bit / 2
  end
  if s.level < 0 and rest > 0 then quotient = quotient + 1 end
  if quotient > cap then quotient = cap end
  v.level = s.level < 0 and -quotient or quotient
  return v
end

-- What few calls need is made when it is needed.
local function make_leases()
  local leases = {}
  -- the free places, nil where the key holds something else; whether name is alive
  function leases.load(key, cap, name)
    local alive = redis.pcall('ZCOUNT', key, format('(%.0f', now), '+inf')
    if bad_type(alive) then return nil end
    local ends = name ~= '-' and redis.call('ZSCORE', key, name)
    return cap - alive, ends and tonumber(ends) > now
  end
  function leases.put(key, period, name)
    -- ZADD first: only a script's first write is refused when memory runs out.
    redis.call('ZADD', key, format('%.0f', now + period), name)
    redis.call('ZREMRANGEBYSCORE', key, '-inf', format('%.0f', now))
    local left = tonumber(redis.call('ZREVRANGE', key, 0, 0, 'WITHSCORES')[2]) - now
    redis.call('PEXPIRE', key, format('%.0f', (left - fmod(left, 1000)) / 1000 + 2))
  end
  -- units and flag of everything but a take
  function leases.change(op, key, limits, name, free, mine)
    if op == '3' then
      leases.put(key, limits.period, name)
      return mine and free or free - 1, 1
    elseif op == '4' then
      if mine then redis.call('ZREM', key, name) end
      return mine and free + 1 or free, mine and 1 or 0
    elseif op == '5' then
      redis.call('DEL', key)
      return limits.cap, 1
    end
    return free, free > 0 and 1 or 0
  end
  return leases
end

-- The level after an operation that is no take, and its flag.
local function change(op, level, cap, cost)
  if op == '3' then -- charge; level + cap is exact, level - cost may not be
    if cost <= level + cap then return level - cost, 1 end
    return -cap, 0
  elseif op == '2' then
    return level, (cost == 0 or cost <= level) and 1 or 0
  elseif op == '5' or cost >= cap - level then
    return cap, 1
  end
  return level + cost, 1
end

local leases
local out, n = {}, 0
local views = {} -- of the record's buckets: a state, or leases by the same names
local p, last = 1, #ARGV
while p <= last do
  local op, granted, count = ARGV[p], tonumber(ARGV[p + 1]), tonumber(ARGV[p + 2])
  local fits, bad = granted, false

  -- What is there, and how many calls it is enough for.
  for b = 1, count do
    local a = p + 4 * b - 1
    local k, text, name = ARGV[a], ARGV[a + 1], ARGV[a + 3]
    local limits = limits_of[text] or parse(text)
    local v, flag
    if name == '' then
      local s = states[k] or load(k, limits)
      v = s
      if not s.bad then
        if s.limits ~= limits then v = carried(s, limits) end
        -- whether it grows as these limits say even if nothing is written
        flag = (v == s or s.level == s.limits.cap) and 1 or 0
        local cost = tonumber(ARGV[a + 2])
        if cost > 0 then
          local m = v.level < cost and 0 or (v.level - fmod(v.level, cost)) / cost
          if m < fits then fits = m end
        end
      end
    else
      leases = leases or make_leases()
      v = { limits = limits }
      v.level, v.mine = leases.load(KEYS[tonumber(k)], limits.cap, name)
      v.bad = not v.level
      if not v.bad then
        -- 0 no place, 1 added, 2 renewed
        flag = v.mine and 2 or v.level > 0 and 1 or 0
        if flag == 0 then fits = 0 end
      end
    end
    views[b], bad = v, bad or v.bad
    out[n + 2 * b], out[n + 2 * b + 1] = v.level or 0, flag or 0
  end

  -- What becomes of it. The reply to a take has the levels before, since the
  -- caller knows what each grant costs.
  if bad then
    granted = -1
    for b = 1, count do out[n + 2 * b + 1] = views[b].bad and 1 or 0 end
  elseif op ~= '1' or fits > 0 then
    for b = 1, count do
      local a, v = p + 4 * b - 1, views[b]
      local name, cost = ARGV[a + 3], tonumber(ARGV[a + 2])
      if op == '1' then
        if name ~= '' then
          leases.put(KEYS[tonumber(ARGV[a])], v.limits.period, name)
        elseif cost > 0 then
          v.level, v.dirty = v.level - fits * cost, true
          states[ARGV[a]] = v
        end
      else
        local units, flag
        if name ~= '' then
          units, flag = leases.change(op, KEYS[tonumber(ARGV[a])], v.limits, name, v.level, v.mine)
        else
          units, flag = change(op, v.level, v.limits.cap, cost)
          if op ~= '2' then
            v.level, v.dirty = units, true
            states[ARGV[a]] = v
          end
        end
        out[n + 2 * b], out[n + 2 * b + 1] = units, flag
      end
    end
    if op == '1' then granted = fits end
  else
    granted = 0
  end
  out[n + 1] = granted
  n = n + 1 + 2 * count
  p = p + 3 + 4 * count
end

for k, s in pairs(states) do
  if s.dirty then
    local rate, missing = s.limits.rate, s.limits.cap - s.level
    if missing > 0 then
      -- Rounded up, twice: both ends of the time to live are cut to milliseconds.
      local left = s.last - now + (missing - fmod(missing, rate)) / rate + 1
      redis.call('SET', KEYS[tonumber(k)], format('b1 %.0f %.0f %s', s.level, s.last, s.limits.text),
        'PX', format('%.0f', (left - fmod(left, 1000)) / 1000 + 2))
    elseif s.stored then
      redis.call('DEL', KEYS[tonumber(k)])
    end
  end
end
return out
