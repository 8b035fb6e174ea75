-- trip_rules: when does a closed circuit open, and which calls does it turn away?
--
-- Stands in the scripts that decide on calls, after circuit.lua.
--
-- returns nothing
-- upholds: any rule that is met opens, and the event says which, with its figures; a success never opens a circuit;
--          what is kept of the calls does not grow with them

local SLICES = 10
local MOST_REPORTERS = 16
-- A ramp that lets nothing through at its beginning would learn nothing.
local LEAST_SHARE_PERMILLE = 100

-- A window over time is a ring of slices, each in a field "SLICE CALLS BAD". One over the last calls is a field of as
-- many characters, the latest last, 1 for a bad one.
local function slices_of(rule, name)
  local slice_ms = math.ceil(math.max(1, rule[name .. '_window_ms']) / SLICES)
  return math.floor(now_ms / slice_ms)
end

local function slice_in(field, text)
  local slice, calls, bad = string.match(text or '', '^(%d+) (%d+) (%d+)$')
  if text and not slice then
    unreadable[#unreadable + 1] = field
  end
  return tonumber(slice), tonumber(calls), tonumber(bad)
end

local function ring_in(name)
  local field = name .. ':calls'
  local ring = redis.call('HGET', circuit_key, field) or ''
  if string.find(ring, '[^01]') then
    unreadable[#unreadable + 1] = field
    return ''
  end
  return ring
end

-- The bad ones are the last of them.
local function add_to_window(rule, name, calls, bad)
  local most = rule[name .. '_window_calls']
  if most > 0 then
    local good = string.rep('0', math.min(calls - bad, most))
    local ring = ring_in(name) .. good .. string.rep('1', math.min(bad, most))
    redis.call('HSET', circuit_key, name .. ':calls', string.sub(ring, -most))
    return
  end
  local now_slice = slices_of(rule, name)
  local field = name .. ':' .. whole(now_slice % SLICES)
  local slice, calls_before, bad_before = slice_in(field, redis.call('HGET', circuit_key, field))
  if slice ~= now_slice then
    calls_before, bad_before = 0, 0
  end
  redis.call('HSET', circuit_key, field,
    string.format('%.0f %.0f %.0f', now_slice, calls_before + calls, bad_before + bad))
end

-- How many calls the window holds, and how many of them were bad.
local function sums_of_window(rule, name)
  local most = rule[name .. '_window_calls']
  if most > 0 then
    local ring = string.sub(ring_in(name), -most)
    local _, bad = string.gsub(ring, '1', '')
    return #ring, bad
  end
  local now_slice = slices_of(rule, name)
  local fields = {}
  for slot = 0, SLICES - 1 do
    fields[#fields + 1] = name .. ':' .. slot
  end
  local calls, bad = 0, 0
  for slot, text in ipairs(redis.call('HMGET', circuit_key, unpack(fields))) do
    local slice, calls_then, bad_then = slice_in(fields[slot], text)
    if slice and slice <= now_slice and slice > now_slice - SLICES then
      calls = calls + calls_then
      bad = bad + bad_then
    end
  end
  return calls, bad
end

-- Below the minimum there is no rate.
local function is_met(rule, name, calls, bad)
  return calls >= rule[name .. '_minimum_calls'] and bad * 100 >= rule[name .. '_percent'] * calls
end

-- The calls of this closed period that have been under way for `duration` or longer: from which lease's end to which.
local function overdue_between(rule)
  local closed_at_ms = number_in('last_state_change', redis.call('HGET', circuit_key, 'last_state_change')) or 0
  return whole(closed_at_ms + rule.lease_timeout_ms), whole(now_ms + rule.lease_timeout_ms - rule.slow_call_duration_ms)
end

-- Who reports failures and slow calls: "WHO=MS" of the latest of each, the latest last.
local function note_reporter(who)
  local name = string.gsub(who, '[%s=]', '_')
  local kept = {}
  for other, at_ms in string.gmatch(redis.call('HGET', circuit_key, 'failure_reporters') or '', '(%S+)=(%d+)') do
    if other ~= name then
      kept[#kept + 1] = other .. '=' .. at_ms
    end
  end
  kept[#kept + 1] = name .. '=' .. whole(now_ms)
  local first = math.max(1, #kept - MOST_REPORTERS + 1)
  redis.call('HSET', circuit_key, 'failure_reporters', table.concat(kept, ' ', first))
end

local function reporters_since(since_ms)
  local reporters = 0
  for at_ms in string.gmatch(redis.call('HGET', circuit_key, 'failure_reporters') or '', '%S+=(%d+)') do
    if tonumber(at_ms) >= since_ms then
      reporters = reporters + 1
    end
  end
  return reporters
end

-- Whether so many processes say so that it is not one process' own trouble.
local function is_agreed(rule, since_ms)
  return rule.minimum_reporters == 1 or reporters_since(since_ms) >= rule.minimum_reporters
end

local function window_began_ms(rule, name)
  return rule[name .. '_window_calls'] > 0 and 0 or now_ms - rule[name .. '_window_ms']
end

-- The figures of the rule for slow calls where it is met, with so many calls under way for too long, and whether that is
-- agreed; nil where it is not met.
local function slow_calls(rule, overdue)
  local all, slow = sums_of_window(rule, 'slow_call_rate')
  if not is_met(rule, 'slow_call_rate', all + overdue, slow + overdue) then
    return nil
  end
  local agreed = is_agreed(rule, window_began_ms(rule, 'slow_call_rate'))
  return { 'calls', whole(all), 'slow', whole(slow), 'overdue', whole(overdue) }, agreed
end

-- In a closed circuit that the state machine decides on: what the ends of calls say. `counted` is failure_count as it
-- is. `ended` tells of `successes`, then perhaps one that `failed`, of all of these how many were `slow`, and who says
-- so. Returns the transition, or ''.
local function learn(circuit, rule, counted, ended)
  local calls = ended.successes + ended.failed
  if calls == 0 then
    return ''
  end
  local run = number_in('failure_count', counted) or 0
  if ended.successes > 0 then
    run = 0
  end
  run = run + ended.failed
  if counted ~= whole(run) then
    redis.call('HSET', circuit_key, 'failure_count', whole(run))
  end
  local function opened(why, figures)
    return open(circuit, rule, why, ended.who, ended.exception, ended.retry_after_ms, figures)
  end
  local is_run = ended.failed > 0 and rule.failure_threshold > 0 and run >= rule.failure_threshold
  if circuit.rules == 'plain' then
    return is_run and opened('failure_threshold', { 'failure_count', whole(run) }) or ''
  end
  local bad = { failure_rate = ended.failed, slow_call_rate = ended.slow }
  for name, number in pairs(bad) do
    if rule[name .. '_percent'] > 0 then
      add_to_window(rule, name, calls, number)
    end
  end
  if rule.minimum_reporters > 1 then
    if ended.failed > 0 and run == 1 then
      redis.call('HSET', circuit_key, 'failing_since', whole(now_ms))
    end
    if ended.failed > 0 or ended.slow > 0 then
      note_reporter(ended.who)
    end
  end
  if is_run and is_agreed(rule, number_in('failing_since', redis.call('HGET', circuit_key, 'failing_since')) or 0) then
    return opened('failure_threshold', { 'failure_count', whole(run) })
  end
  if rule.failure_rate_percent > 0 and ended.failed > 0 then
    local all, failed = sums_of_window(rule, 'failure_rate')
    if is_met(rule, 'failure_rate', all, failed) and is_agreed(rule, window_began_ms(rule, 'failure_rate')) then
      return opened('failure_rate', { 'calls', whole(all), 'failed', whole(failed) })
    end
  end
  if rule.slow_call_rate_percent > 0 and ended.slow > 0 then
    local figures, agreed = slow_calls(rule, redis.call('ZCOUNT', leases_key, overdue_between(rule)))
    if figures and agreed then
      return opened('slow_call_rate', figures)
    end
  end
  return ''
end

-- How many processes the overdue calls are of, as far as their tokens tell.
local function processes_of_overdue(rule)
  local seen = {}
  local processes = 0
  local first_ms, last_ms = overdue_between(rule)
  for _, token in ipairs(redis.call('ZRANGE', leases_key, first_ms, last_ms, 'BYSCORE')) do
    local process = string.sub(token, 1, 12)
    if not seen[process] then
      seen[process] = true
      processes = processes + 1
    end
  end
  return processes
end

-- The same while everybody still waits: calls that hang open the circuit before they end.
local function open_if_calls_hang(circuit, rule, who)
  if rule.slow_call_rate_percent == 0 or circuit.mode ~= 'automatic' then
    return ''
  end
  local overdue = redis.call('ZCOUNT', leases_key, overdue_between(rule))
  if overdue == 0 then
    return ''
  end
  local figures, agreed = slow_calls(rule, overdue)
  if not figures or not agreed and processes_of_overdue(rule) < rule.minimum_reporters then
    return ''
  end
  return open(circuit, rule, 'slow_call_rate', who, '', '', figures)
end

-- How much is left of the ramp, in ms, and what share of calls it lets through; 0 where there is none.
local function ramp(rule)
  if rule.ramp_up_ms == 0 then
    return 0, 1000
  end
  local ramp_until_ms = number_in('ramp_until', redis.call('HGET', circuit_key, 'ramp_until')) or 0
  local left_ms = math.min(ramp_until_ms - now_ms, rule.ramp_up_ms)
  if left_ms <= 0 then
    return 0, 1000
  end
  return left_ms, math.max(LEAST_SHARE_PERMILLE, math.floor(1000 * (rule.ramp_up_ms - left_ms) / rule.ramp_up_ms))
end

-- The first call is let through.
local function begin_ramp(rule)
  redis.call('HSET', circuit_key, 'ramp_until', whole(now_ms + rule.ramp_up_ms), 'ramp_credit', '1000')
end

-- Whether each call of a closed circuit has to ask, so that nobody may act on a view of it.
local function must_ask_each(rule)
  return rule.max_in_flight > 0 or ramp(rule) > 0
end

-- Why a closed circuit turns this call away, and for how many ms as text; nil where it may run.
local function turned_away(circuit, rule)
  if circuit.mode ~= 'automatic' then
    return nil
  end
  if rule.max_in_flight > 0 and redis.call('ZCOUNT', leases_key, '-inf', '+inf') >= rule.max_in_flight then
    return 'full', ''
  end
  local left_ms, share = ramp(rule)
  if left_ms == 0 then
    return nil
  end
  local credit = (number_in('ramp_credit', redis.call('HGET', circuit_key, 'ramp_credit')) or 0) + share
  local may_run = credit >= 1000
  redis.call('HSET', circuit_key, 'ramp_credit', whole(may_run and credit - 1000 or credit))
  if may_run then
    return nil
  end
  return 'ramping', whole(math.min(left_ms, 1000))
end
