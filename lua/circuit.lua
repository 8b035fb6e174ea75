-- circuit: what every script knows of one circuit: its keys, its clock, and the one door between its states
--
-- Stands in front of each of the other scripts when they are loaded. It decides nothing by itself.
--
-- KEYS[1] circuit_key  hash: state, counts, tallies and the settings in force
-- KEYS[2] leases_key   sorted set: admission token -> end of its lease, Unix ms; a probe's token starts with "probe:"
-- KEYS[3] events_key   stream, capped: each transition, manual act and change of settings
-- returns nothing
-- upholds: all keys of a circuit lie in one slot and are declared; time is the server's, in whole ms;
--          a state changes in `transition` and nowhere else, with a new epoch, one tally and one event

local circuit_key = KEYS[1]
local leases_key = KEYS[2]
local events_key = KEYS[3]

local EVENTS_KEPT = 1000

-- Read once: on some servers the clock moves while a script runs, on others it stands still.
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local now_us = time[1] * 1000000 + time[2]

-- Lua numbers reach Redis in a form that differs between servers, and tostring() loses digits.
local function whole(number)
  return string.format('%.0f', number)
end

-- Fields that hold what no script wrote. They are named in the reply, so that somebody gets to know.
local unreadable = {}

-- A whole number of at least `least` (0), or nil for a field that is missing or holds anything else.
local function number_in(field, text, least)
  local number = text and tonumber(text)
  if number and number >= (least or 0) and number < 2 ^ 53 and number == math.floor(number) then
    return number
  end
  if text and text ~= '' then
    unreadable[#unreadable + 1] = field
  end
  return nil
end

-- The reply, with the names of unreadable fields behind its fixed part.
local function answer(reply)
  for _, field in ipairs(unreadable) do
    reply[#reply + 1] = field
  end
  return reply
end

-- Any other error than the expected one is raised by asking again, so that Redis words it and tells where.
local function tally(field, by)
  local reply = redis.pcall('HINCRBY', circuit_key, field, whole(by))
  if type(reply) == 'table' and reply.err then
    if not string.find(reply.err, 'integer') and not string.find(reply.err, 'overflow') then
      redis.call('HINCRBY', circuit_key, field, whole(by))
    end
    unreadable[#unreadable + 1] = field
    redis.call('HSET', circuit_key, field, whole(by))
  end
end

-- A key of another type in place of the events must not undo what they tell of.
local function record(from, to, why, who, details)
  local event = { 'XADD', events_key, 'MAXLEN', whole(EVENTS_KEPT), '*',
    'from', from, 'to', to, 'why', why, 'who', who, unpack(details or {}) }
  local reply = redis.pcall(unpack(event))
  if type(reply) == 'table' and reply.err then
    if not string.find(reply.err, 'WRONGTYPE') then
      redis.call('XADD', unpack(event, 2))
    end
    unreadable[#unreadable + 1] = events_key
  end
end

-- Whether an event says `name` = `value`. Only for what is rare: it looks through the whole history.
local function is_recorded(name, value)
  local history = redis.pcall('XREVRANGE', events_key, '+', '-')
  if history.err and not string.find(history.err, 'WRONGTYPE') then
    redis.call('XREVRANGE', events_key, '+', '-')
  end
  for _, event in ipairs(history) do
    for slot = 1, #event[2], 2 do
      if event[2][slot] == name and event[2][slot + 1] == value then
        return true
      end
    end
  end
  return false
end

local STATES = { closed = true, open = true, half_open = true }
local MODES = { automatic = true, held_open = true, disabled = true }

local function next_epoch(epoch)
  return math.max(epoch + 1, now_us)
end

-- The state, mode and epoch in `values` (as HMGET gives them), or nil where there is no circuit.
-- A foreign value is replaced at once, so that no typo can wedge a circuit; so is a mode that contradicts the state.
local function circuit_in(values)
  if not values[1] and not values[2] and not values[3] then
    return nil
  end
  local circuit = { state = values[1], mode = values[2], epoch = number_in('epoch', values[3]) }
  local disagree = circuit.mode == 'held_open' and circuit.state ~= 'open'
    or circuit.mode == 'disabled' and circuit.state ~= 'closed'
  if STATES[circuit.state] and MODES[circuit.mode] and circuit.epoch and not disagree then
    return circuit
  end
  if not STATES[circuit.state] or circuit.mode == 'disabled' then
    unreadable[#unreadable + 1] = 'state'
    circuit.state = 'closed'
  end
  if not MODES[circuit.mode] or circuit.mode == 'held_open' and circuit.state ~= 'open' then
    unreadable[#unreadable + 1] = 'mode'
    circuit.mode = 'automatic'
  end
  circuit.epoch = next_epoch(circuit.epoch or 0)
  redis.call('HSET', circuit_key, 'state', circuit.state, 'mode', circuit.mode, 'epoch', whole(circuit.epoch))
  return circuit
end

-- The one door. Counts that decide start anew; `failure_count` tells until closing how many failures it took.
-- open_until_ms is read for `to` = open only; without it the circuit stays open until somebody lets it go.
local function transition(circuit, to, why, who, open_until_ms, details)
  local from = circuit.state
  circuit.state = to
  circuit.epoch = next_epoch(circuit.epoch)
  redis.call('HSET', circuit_key, 'state', to, 'epoch', whole(circuit.epoch),
    'last_state_change', whole(now_ms), 'success_count', '0')
  if to == 'open' then
    redis.call('HSET', circuit_key, 'opened_at', whole(now_ms))
    if open_until_ms then
      redis.call('HSET', circuit_key, 'open_until', whole(open_until_ms))
    else
      redis.call('HDEL', circuit_key, 'open_until')
    end
  elseif to == 'closed' then
    redis.call('HSET', circuit_key, 'failure_count', '0')
    redis.call('HDEL', circuit_key, 'opened_at', 'open_until')
  end
  local name = from .. '_to_' .. to
  tally(name, 1)
  record(from, to, why, who, details)
  return name
end

-- Ends the leases whose time is up. Nobody can say how those calls ended: they are lost.
local function reclaim()
  local lost = redis.call('ZREMRANGEBYSCORE', leases_key, '-inf', whole(now_ms))
  if lost > 0 then
    tally('lost_calls', lost)
  end
end

-- The probes that still hold their place, those of an earlier half-open period included: they are on their
-- way to the same service. Second, for each, when it ends.
local function probes_in(text)
  local tokens = {}
  local ends = {}
  for token in string.gmatch(text or '', '%S+') do
    local ends_ms = tonumber(redis.call('ZSCORE', leases_key, token) or 0)
    if ends_ms > now_ms then
      tokens[#tokens + 1] = token
      ends[#ends + 1] = ends_ms
    end
  end
  return tokens, ends
end

local function write_probes(tokens)
  if #tokens == 0 then
    redis.call('HDEL', circuit_key, 'probes')
  else
    redis.call('HSET', circuit_key, 'probes', table.concat(tokens, ' '))
  end
end

-- Only a closed circuit that nobody holds may be forgotten for want of calls: expiry never closes one.
local function keep_or_expire(circuit, idle_ttl_ms)
  if idle_ttl_ms == 0 then
    return
  end
  for _, key in ipairs(KEYS) do
    if circuit.state == 'closed' and circuit.mode == 'automatic' then
      redis.call('PEXPIRE', key, whole(idle_ttl_ms))
    else
      redis.call('PERSIST', key)
    end
  end
end
