-- report: how did an admitted call end?
--
-- KEYS[1] circuit_key  see keys_and_clock.lua
-- KEYS[2] leases_key   see keys_and_clock.lua
-- KEYS[3] events_key   see keys_and_clock.lua
-- KEYS[4] batches_key  see keys_and_clock.lua
-- ARGV[1] token        as admitted: a probe's starts with "probe:"
-- ARGV[2] epoch        the epoch that the admission was made in
-- ARGV[3] outcome      success | failure | ignored | released
-- ARGV[4] who          the process that reports
-- ARGV[5] exception    name of the exception's type, '' without one
-- ARGV[6] retry_after_ms  the wait that the service asked for with its failure, '' where it did not
-- ARGV[7] duration_ms  how long the call took, by its caller's own clock; may be left out, where nobody asks
-- returns in the usual case the text counted; otherwise {verdict, state, mode, epoch, transition, unreadable field...}
--         verdict: counted | late (tallied, decides nothing) | unknown (was counted before, or is lost)
--                  | undeclared (no settings to decide by: declare, then report again)
-- upholds: the report that ends the lease is the one that counts, so each counts once however often it is sent;
--          a report from another epoch decides nothing; the only half_open -> open and half_open -> closed

local token = ARGV[1]
local epoch = ARGV[2]
local outcome = ARGV[3]
local who = ARGV[4]
local exception = ARGV[5]
local retry_after_ms = ARGV[6]
local duration_ms = ARGV[7]

local values = redis.call('HMGET', circuit_key, 'state', 'mode', 'epoch', 'reclaim_at', 'rules', 'failure_count',
  'probes')

-- What opens the circuit is failures in a row alone, whatever else is in force.
local rules = values[5]
if rules == 'extended' and outcome == 'failure' then
  local more = redis.call('HMGET', circuit_key, 'idle_ttl_ms', 'failure_rate_percent', 'slow_call_rate_percent',
    'minimum_reporters')
  if more[1] == '0' and more[2] == '0' and more[3] == '0' and more[4] == '1' then
    rules = 'plain'
  end
end

-- The usual cases: a success after no failure, and a failure that does not open the circuit. Whatever is not exactly
-- as usual is looked at below.
local reclaim_at_ms = tonumber(values[4])
local ended = false
if retry_after_ms and values[3] == epoch and values[1] == 'closed' and values[2] == 'automatic'
  and values[7] == '' and rules == 'plain' and reclaim_at_ms and reclaim_at_ms > now_ms then
  if outcome == 'success' and values[6] == '0' then
    ended = redis.call('ZREM', leases_key, token) == 1
    if ended and type(redis.pcall('HINCRBY', circuit_key, 'successful_calls', '1')) == 'number' then
      return 'counted'
    end
  elseif outcome == 'failure' then
    local failure_count = tonumber(values[6])
    local more = redis.call('HMGET', circuit_key, 'failed_calls', 'failure_threshold')
    local failed_calls = tonumber(more[1])
    local failure_threshold = tonumber(more[2])
    if failure_count and failure_count >= 0 and failure_count % 1 == 0 and failure_threshold
      and failure_count + 1 < failure_threshold and failure_threshold < 2 ^ 53 and failure_threshold % 1 == 0
      and failed_calls and failed_calls >= 0 and failed_calls % 1 == 0 and failed_calls < 2 ^ 53 then
      ended = redis.call('ZREM', leases_key, token) == 1
      if ended then
        redis.call('HSET', circuit_key, 'failure_count', string.format('%.0f', failure_count + 1),
          'failed_calls', string.format('%.0f', failed_calls + 1), 'last_failure_time', string.format('%.0f', now_ms),
          'last_failure_type', exception, 'last_failure_by', who)
        return 'counted'
      end
    end
  end
end

-- A success that is not slow, where other rules are in force: it is one more call in their windows.
if outcome == 'success' and retry_after_ms and values[3] == epoch and values[1] == 'closed' and values[2] == 'automatic'
  and values[7] == '' and rules == 'extended' and reclaim_at_ms and reclaim_at_ms > now_ms then
  local more = redis.call('HMGET', circuit_key, 'idle_ttl_ms', 'slow_call_duration_ms', 'failure_rate_percent',
    'failure_rate_window_ms', 'failure_rate_window_calls', 'slow_call_rate_percent', 'slow_call_rate_window_ms',
    'slow_call_rate_window_calls')
  local slow_ms = tonumber(more[2])
  local is_quick = more[1] == '0'
    and (more[6] == '0' or slow_ms and slow_ms >= 1 and (tonumber(duration_ms or 0) or slow_ms) < slow_ms)
  -- Each window's field and what is to stand in it. A window that is not as usual is looked at below.
  local changes = {}
  for slot = 3, 6, 3 do
    local window_ms = tonumber(more[slot + 1])
    if is_quick and more[slot] ~= '0' then
      local name = slot == 3 and 'failure_rate:' or 'slow_call_rate:'
      local most = tonumber(more[slot + 2])
      is_quick = most and window_ms and (most >= 1 or window_ms >= 1) and tonumber(more[slot])
      if is_quick and most >= 1 then
        local ring = redis.call('HGET', circuit_key, name .. 'calls') or ''
        is_quick = not string.find(ring, '[^01]')
        changes[#changes + 1] = name .. 'calls'
        changes[#changes + 1] = string.sub(ring .. '0', -most)
      elseif is_quick then
        local slice = math.floor(now_ms / math.ceil(window_ms / 10))
        local field = name .. string.format('%.0f', slice % 10)
        local before = redis.call('HGET', circuit_key, field)
        local at, calls, bad = string.match(before or '', '^(%d+) (%d+) (%d+)$')
        is_quick = at or not before
        if tonumber(at) ~= slice then
          calls, bad = 0, 0
        end
        changes[#changes + 1] = field
        changes[#changes + 1] = is_quick and string.format('%.0f %.0f %.0f', slice, calls + 1, bad)
      end
    end
  end
  if is_quick then
    ended = redis.call('ZREM', leases_key, token) == 1
    if ended and type(redis.pcall('HINCRBY', circuit_key, 'successful_calls', '1')) == 'number' then
      if values[6] ~= '0' then
        changes[#changes + 1] = 'failure_count'
        changes[#changes + 1] = '0'
      end
      if #changes > 0 then
        redis.call('HSET', circuit_key, unpack(changes))
      end
      return 'counted'
    end
  end
end

-- circuit.lua
-- trip_rules.lua

local tally_name = TALLY_OF_OUTCOME[outcome]
if not tally_name or not retry_after_ms or retry_after_ms ~= '' and not tonumber(retry_after_ms)
  or duration_ms and not tonumber(duration_ms) then
  return redis.error_reply('ERR report takes token, epoch, outcome (success, failure, ignored, released), who, '
    .. 'exception, retry_after_ms (a number or empty), and perhaps duration_ms')
end

local circuit = circuit_in(values, values[5])
local rule = rule_in_force(circuit)
if not rule then
  return answer({ 'undeclared', '', '', '0', '' })
end

reclaim()

local function reply(verdict, moved)
  keep_or_expire(circuit, rule.idle_ttl_ms)
  return answer({ verdict, circuit.state, circuit.mode, whole(circuit.epoch), moved })
end

if not ended and redis.call('ZREM', leases_key, token) == 0 then
  return reply('unknown', '')
end

if values[7] and values[7] ~= '' then
  write_probes((probes_in(values[7])))
end
tally(tally_name, 1)
if outcome == 'failure' then
  note_failure(who, exception)
end
if string.sub(token, 1, 9) == 'observed:' then
  return reply('counted', '')
end
if epoch ~= whole(circuit.epoch) then
  tally('late_results', 1)
  return reply('late', '')
end

if circuit.state == 'half_open' then
  if outcome == 'failure' then
    return reply('counted', open(circuit, rule, 'probe_failed', who, exception, retry_after_ms, {}))
  end
  if outcome == 'success' then
    local success_count = (number_in('success_count', redis.call('HGET', circuit_key, 'success_count')) or 0) + 1
    if success_count >= rule.success_threshold then
      local moved = transition(circuit, 'closed', 'success_threshold', who)
      if circuit.rules ~= 'plain' and rule.ramp_up_ms > 0 then
        begin_ramp(rule)
      end
      return reply('counted', moved)
    end
    redis.call('HSET', circuit_key, 'success_count', whole(success_count))
  end
elseif circuit.state == 'closed' and circuit.mode == 'automatic' then
  local is_slow = circuit.rules ~= 'plain' and rule.slow_call_rate_percent > 0 and duration_ms
    and tonumber(duration_ms) >= rule.slow_call_duration_ms
  return reply('counted', learn(circuit, rule, values[6], {
    successes = outcome == 'success' and 1 or 0, failed = outcome == 'failure' and 1 or 0, slow = is_slow and 1 or 0,
    who = who, exception = exception, retry_after_ms = retry_after_ms,
  }))
end
return reply('counted', '')
