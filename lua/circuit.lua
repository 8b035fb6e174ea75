-- circuit: what the scripts know of one circuit's ways, and the one door between its states
--
-- Stands in each script where that says so: what is done for most calls stands before it, because Redis makes
-- every function here anew each time that it comes by. It decides nothing by itself.
--
-- returns nothing
-- upholds: a state changes in `transition` and nowhere else, with a new epoch, one tally and one event

local EVENTS_KEPT = 1000

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
  -- Whoever acts on a view of this circuit hears that it is out of date, where somebody asked for that.
  if why ~= 'was_away' and redis.call('HGET', circuit_key, 'push') == '1' then
    redis.pcall('PUBLISH', circuit_key .. ':changes', why)
  end
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

local now_us = time[1] * 1000000 + time[2]

local STATES = { closed = true, open = true, half_open = true }
local MODES = { automatic = true, held_open = true, disabled = true }

local function next_epoch(epoch)
  return math.max(epoch + 1, now_us)
end

-- The state, mode and epoch in `values` (as HMGET gives them), or nil where there is no circuit. `rules` is the field of
-- that name, for whoever counts calls or changes the state.
-- A foreign value is replaced at once, so that no typo can wedge a circuit; so is a mode that contradicts the state.
local function circuit_in(values, rules)
  if not values[1] and not values[2] and not values[3] then
    return nil
  end
  local circuit = { state = values[1], mode = values[2], epoch = number_in('epoch', values[3]), rules = rules }
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

-- What rules besides the default one keep, in fields that are there only while such a rule is in force.
local function forget_what_rules_keep()
  local kept = { 'failure_rate:calls', 'slow_call_rate:calls', 'failure_reporters', 'failing_since' }
  for slot = 0, 9 do
    kept[#kept + 1] = 'failure_rate:' .. slot
    kept[#kept + 1] = 'slow_call_rate:' .. slot
  end
  redis.call('HDEL', circuit_key, unpack(kept))
end

-- What was counted towards opening counts no more.
local function forget_results(circuit)
  redis.call('HSET', circuit_key, 'failure_count', '0')
  if circuit.rules ~= 'plain' then
    forget_what_rules_keep()
  end
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
    redis.call('HSET', circuit_key, 'opened_at', whole(now_ms), 'retry_after_ms', '',
      'open_until', open_until_ms and whole(open_until_ms) or '')
  elseif to == 'closed' then
    redis.call('HSET', circuit_key, 'opened_at', '', 'open_until', '', 'retry_after_ms', '')
    forget_results(circuit)
  end
  if circuit.rules ~= 'plain' then
    redis.call('HDEL', circuit_key, 'ramp_until', 'ramp_credit')
  end
  local name = from .. '_to_' .. to
  tally(name, 1)
  record(from, to, why, who, details)
  return name
end

-- Ends the leases whose time is up. Nobody can say how those calls ended: they are lost.
-- No lease ends before `reclaim_at`, so that most scripts need not look.
local function reclaim()
  local reclaim_at_ms = tonumber(redis.call('HGET', circuit_key, 'reclaim_at'))
  if reclaim_at_ms and reclaim_at_ms > now_ms then
    return
  end
  local lost = redis.call('ZREMRANGEBYSCORE', leases_key, '-inf', whole(now_ms))
  if lost > 0 then
    tally('lost_calls', lost)
  end
  local first = redis.call('ZRANGE', leases_key, 0, 0, 'WITHSCORES')
  local lease_timeout_ms = tonumber(redis.call('HGET', circuit_key, 'lease_timeout_ms')) or 0
  -- A lease that is taken later ends no sooner than one that is taken now.
  local next_ms = math.min(tonumber(first[2]) or math.huge, now_ms + lease_timeout_ms)
  redis.call('HSET', circuit_key, 'reclaim_at', whole(next_ms))
end

-- To be called with the end of each lease that may be shorter than the others.
local function reclaim_by(ends_ms)
  local reclaim_at_ms = tonumber(redis.call('HGET', circuit_key, 'reclaim_at')) or 0
  if ends_ms < reclaim_at_ms then
    redis.call('HSET', circuit_key, 'reclaim_at', whole(ends_ms))
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
  redis.call('HSET', circuit_key, 'probes', table.concat(tokens, ' '))
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

local TALLY_OF_OUTCOME = {
  success = 'successful_calls',
  failure = 'failed_calls',
  ignored = 'ignored_calls',
  released = 'released_calls',
}

-- Settings of the rules besides the default one, and the least that each may be, which is what turns it off.
local function rule_settings()
  return { 'failure_rate_percent', 'failure_rate_window_ms', 'failure_rate_window_calls', 'failure_rate_minimum_calls',
    'slow_call_rate_percent', 'slow_call_rate_window_ms', 'slow_call_rate_window_calls',
    'slow_call_rate_minimum_calls', 'slow_call_duration_ms', 'timeout_growth_percent', 'ramp_up_ms',
    'minimum_reporters', 'max_in_flight', 'observe', 'lease_timeout_ms' },
    { 0, 0, 0, 1, 0, 0, 0, 1, 0, 100, 0, 1, 0, 0, 1 }
end

-- The settings that decide what a result does, or nil where one is missing or there is no circuit.
local function rule_in_force(circuit)
  if not circuit then
    return nil
  end
  local values = redis.call('HMGET', circuit_key, 'failure_threshold', 'success_threshold', 'open_timeout_ms',
    'max_timeout_ms', 'idle_ttl_ms')
  local rule = {
    failure_threshold = number_in('failure_threshold', values[1], 0),
    success_threshold = number_in('success_threshold', values[2], 1),
    open_timeout_ms = number_in('open_timeout_ms', values[3], 1),
    max_timeout_ms = number_in('max_timeout_ms', values[4], 1),
    idle_ttl_ms = number_in('idle_ttl_ms', values[5]),
  }
  if not (rule.failure_threshold and rule.success_threshold and rule.open_timeout_ms and rule.idle_ttl_ms) then
    return nil
  end
  if circuit.rules ~= 'plain' then
    local names, least = rule_settings()
    for slot, value in ipairs(redis.call('HMGET', circuit_key, unpack(names))) do
      rule[names[slot]] = number_in(names[slot], value, least[slot]) or least[slot]
    end
    -- A rate over no window, or of calls that are slow at once, is none.
    for _, name in ipairs({ 'failure_rate', 'slow_call_rate' }) do
      if rule[name .. '_window_ms'] == 0 and rule[name .. '_window_calls'] == 0 then
        rule[name .. '_percent'] = 0
      end
    end
    if rule.slow_call_duration_ms == 0 then
      rule.slow_call_rate_percent = 0
    end
  end
  return rule
end

-- Whether all is decided and nothing is enforced. Whoever holds a circuit by hand is obeyed.
local function is_observing(circuit, rule)
  return circuit.rules ~= 'plain' and rule.observe == 1 and circuit.mode == 'automatic'
end

-- How long an opening may last: no less than `timeout`. The service's own word makes it longer, and so do openings that
-- came one after the other without a quiet time between them, up to `max_timeout`.
local function opening_ms(rule, retry_after_ms, reopenings)
  local most_ms = math.max(rule.open_timeout_ms, rule.max_timeout_ms or 0)
  if retry_after_ms then
    return math.max(rule.open_timeout_ms, math.min(retry_after_ms, most_ms))
  end
  if not reopenings or (rule.timeout_growth_percent or 100) == 100 then
    return rule.open_timeout_ms
  end
  return math.floor(math.min(rule.open_timeout_ms * (rule.timeout_growth_percent / 100) ^ reopenings, most_ms))
end

-- How many openings came before this one without a quiet time of `max_timeout` between them; nil where nobody asks.
local function reopenings_before(circuit, rule)
  if circuit.rules == 'plain' or rule.timeout_growth_percent == 100 then
    return nil
  end
  local values = redis.call('HMGET', circuit_key, 'reopenings', 'last_state_change')
  local reopenings = number_in('reopenings', values[1])
  local closed_at_ms = number_in('last_state_change', values[2]) or 0
  local is_quiet = circuit.state == 'closed' and now_ms - closed_at_ms >= (rule.max_timeout_ms or 0)
  reopenings = reopenings and not is_quiet and reopenings + 1 or 0
  redis.call('HSET', circuit_key, 'reopenings', whole(reopenings))
  return reopenings
end

local function note_failure(who, exception)
  redis.call('HSET', circuit_key, 'last_failure_time', whole(now_ms), 'last_failure_type', exception,
    'last_failure_by', who)
end

-- Because of what calls came to: `exception` names a failure's type, `retry_after_ms` is the service's wish, '' without
-- one, and `figures` are the rule's.
local function open(circuit, rule, why, who, exception, retry_after_ms, figures)
  local asked_ms = tonumber(retry_after_ms)
  local details = { 'exception', exception, unpack(figures) }
  if asked_ms then
    details[#details + 1] = 'retry_after_ms'
    details[#details + 1] = whole(asked_ms)
  end
  local reopenings = reopenings_before(circuit, rule)
  local moved = transition(circuit, 'open', why, who, now_ms + opening_ms(rule, asked_ms, reopenings), details)
  if asked_ms then
    redis.call('HSET', circuit_key, 'retry_after_ms', whole(asked_ms))
  end
  return moved
end
