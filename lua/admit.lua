-- admit: may this call run?
--
-- KEYS[1] circuit_key  see keys_and_clock.lua
-- KEYS[2] leases_key   see keys_and_clock.lua
-- KEYS[3] events_key   see keys_and_clock.lua
-- KEYS[4] batches_key  see keys_and_clock.lua
-- ARGV[1] token        the caller's own name for this admission, never used before
-- ARGV[2] who          the process that asks, for the event of a transition
-- ARGV[3] again        '1' when the same token was sent before and no answer came, else '0'
-- returns in the usual cases one text: EPOCH (admitted, closed), "EPOCH RETRY_AFTER_MS" (rejected, open) or
--         "EPOCH RETRY_AFTER_MS held_open" (the same, by hand; without an end there is no number); otherwise
--         {verdict, state, mode, epoch, retry_after_ms, transition, unreadable field...}
--         verdict: admitted | once (admitted, and each further call has to ask as well) | probe
--                  | observed (would be turned away, and runs because nothing is enforced; decides nothing)
--                  | rejected | ramping (turned away while the share of calls grows) | full (by max_in_flight)
--                  | undeclared (no settings to decide by: declare, then ask again)
--         mode: as the hash has it, or "observe"
--         retry_after_ms: '' where nobody knows; transition: '' unless this call made one
-- upholds: every admission is a lease; in half-open at most half_open_max_calls of them; the only open -> half_open;
--          calls that hang open the circuit before they end

local token = ARGV[1]
local who = ARGV[2]
local again = ARGV[3]

local values = redis.call('HMGET', circuit_key, 'state', 'mode', 'epoch', 'reclaim_at', 'lease_timeout_ms',
  'rules')
local epoch = values[3]

-- The usual case. Whatever is not exactly as usual is looked at below.
local reclaim_at_ms = tonumber(values[4])
local lease_ms = tonumber(values[5])
if values[1] == 'closed' and values[2] == 'automatic' and values[6] == 'plain' and again == '0'
  and reclaim_at_ms and reclaim_at_ms > now_ms and epoch and #epoch == 16
  and lease_ms and lease_ms >= 1 and lease_ms < 2 ^ 53 and lease_ms % 1 == 0 then
  redis.call('ZADD', leases_key, now_ms + lease_ms, token)
  return epoch
end
if values[1] == 'open' and values[6] == 'plain' and again == '0'
  and reclaim_at_ms and reclaim_at_ms > now_ms and epoch and #epoch == 16 then
  local opening = redis.call('HMGET', circuit_key, 'opened_at', 'open_until', 'open_timeout_ms', 'retry_after_ms')
  local opened_at_ms = tonumber(opening[1])
  local open_until_ms = tonumber(opening[2])
  local open_timeout_ms = tonumber(opening[3])
  if values[2] == 'automatic' then
    if opened_at_ms and open_until_ms and open_timeout_ms and opening[4] == '' and opened_at_ms <= now_ms
      and now_ms < open_until_ms and open_until_ms <= opened_at_ms + open_timeout_ms and open_until_ms % 1 == 0
      and type(redis.pcall('HINCRBY', circuit_key, 'rejected_calls', '1')) == 'number' then
      return epoch .. string.format(' %.0f', open_until_ms - now_ms)
    end
  elseif values[2] == 'held_open' and (opening[2] == '' or open_until_ms and open_until_ms > now_ms
    and open_until_ms < 2 ^ 53) and type(redis.pcall('HINCRBY', circuit_key, 'rejected_calls', '1')) == 'number' then
    return epoch .. ' ' .. (open_until_ms and string.format('%.0f', open_until_ms - now_ms) or '') .. ' held_open'
  end
end

-- The same where other rules are in force, none of which has anything to say about this call.
if values[1] == 'closed' and values[2] == 'automatic' and values[6] == 'extended' and again == '0'
  and reclaim_at_ms and reclaim_at_ms > now_ms and epoch and #epoch == 16
  and lease_ms and lease_ms >= 1 and lease_ms < 2 ^ 53 and lease_ms % 1 == 0 then
  local more = redis.call('HMGET', circuit_key, 'idle_ttl_ms', 'ramp_until', 'max_in_flight', 'observe',
    'slow_call_rate_percent', 'slow_call_duration_ms', 'last_state_change')
  local most = tonumber(more[3])
  local duration_ms = tonumber(more[6])
  local closed_at_ms = tonumber(more[7])
  local is_quick = more[1] == '0' and not more[2] and (more[4] == '0' or more[4] == '1')
    and (more[3] == '0' or most and most >= 1 and redis.call('ZCOUNT', leases_key, '-inf', '+inf') < most)
  if is_quick and more[5] ~= '0' then
    is_quick = duration_ms and duration_ms >= 1 and closed_at_ms and redis.call('ZCOUNT', leases_key,
      string.format('%.0f', closed_at_ms + lease_ms), string.format('%.0f', now_ms + lease_ms - duration_ms)) == 0
  end
  if is_quick then
    redis.call('ZADD', leases_key, now_ms + lease_ms, token)
    if more[3] == '0' and more[4] == '0' then
      return epoch
    end
    return { more[3] == '0' and 'admitted' or 'once', 'closed', more[4] == '0' and 'automatic' or 'observe', epoch,
      '', '' }
  end
end

-- circuit.lua
-- trip_rules.lua

-- While all probes are out, the next answer is a call away and not a lease away.
local PROBES_BUSY_RETRY_MS = 1000

if not again then
  return redis.error_reply('ERR admit takes token, who, again')
end

local circuit = circuit_in(values, values[6])
local lease_timeout_ms = number_in('lease_timeout_ms', values[5], 1)
local rule = rule_in_force(circuit)
if not rule or not lease_timeout_ms then
  return answer({ 'undeclared', '', '', '0', '', '' })
end

reclaim()
if again == '1' then
  redis.call('ZREM', leases_key, token, 'probe:' .. token, 'observed:' .. token)
end

local observes = is_observing(circuit, rule)
local moved = ''

local function reply(verdict, retry_after_ms)
  keep_or_expire(circuit, rule.idle_ttl_ms)
  -- What is only observed is of no epoch.
  local of_epoch = verdict == 'observed' and '0' or whole(circuit.epoch)
  return answer({ verdict, circuit.state, observes and 'observe' or circuit.mode, of_epoch, retry_after_ms, moved })
end

local function turn_away(verdict, retry_after_ms)
  if observes then
    tally('observed_rejections', 1)
    redis.call('ZADD', leases_key, whole(now_ms + lease_timeout_ms), 'observed:' .. token)
    return reply('observed', '')
  end
  tally('rejected_calls', 1)
  return reply(verdict, retry_after_ms)
end

if circuit.state == 'closed' then
  if circuit.rules ~= 'plain' then
    moved = open_if_calls_hang(circuit, rule, who)
  end
  if moved == '' then
    local verdict, retry_after_ms
    if circuit.rules ~= 'plain' then
      verdict, retry_after_ms = turned_away(circuit, rule)
    end
    if verdict then
      return turn_away(verdict, retry_after_ms)
    end
    redis.call('ZADD', leases_key, whole(now_ms + lease_timeout_ms), token)
    return reply(circuit.rules ~= 'plain' and must_ask_each(rule) and 'once' or 'admitted', '')
  end
end

local more = redis.call('HMGET', circuit_key, 'opened_at', 'open_until', 'half_open_max_calls', 'probe_timeout_ms',
  'probes', 'retry_after_ms', 'reopenings')
local half_open_max_calls = number_in('half_open_max_calls', more[3], 1)
local probe_timeout_ms = number_in('probe_timeout_ms', more[4], 1)
if not half_open_max_calls or not probe_timeout_ms then
  return answer({ 'undeclared', '', '', '0', '', '' })
end

if circuit.state == 'open' then
  local open_until_ms = number_in('open_until', more[2])
  if circuit.mode == 'held_open' and not open_until_ms then
    return turn_away('rejected', '')
  end
  if circuit.mode ~= 'held_open' then
    -- A clock that stepped back, or a hand that wrote a moment, costs one period more and never a longer one.
    local opened_at_ms = number_in('opened_at', more[1])
    local longest_ms = opening_ms(rule, number_in('retry_after_ms', more[6]), number_in('reopenings', more[7]))
    if not open_until_ms or not opened_at_ms or opened_at_ms > now_ms then
      opened_at_ms = now_ms
      open_until_ms = math.min(open_until_ms or now_ms + longest_ms, now_ms + longest_ms)
      redis.call('HSET', circuit_key, 'opened_at', whole(opened_at_ms), 'open_until', whole(open_until_ms))
    elseif open_until_ms > opened_at_ms + longest_ms then
      open_until_ms = opened_at_ms + longest_ms
      redis.call('HSET', circuit_key, 'open_until', whole(open_until_ms))
    end
  end
  if now_ms < open_until_ms then
    return turn_away('rejected', whole(open_until_ms - now_ms))
  end
end

local probes, ends = probes_in(more[5])
local retry_after_ms = PROBES_BUSY_RETRY_MS
for slot, probe in ipairs(probes) do
  -- A client that repeats by itself what it was not answered gets the same answer again.
  if probe == 'probe:' .. token then
    return reply('probe', '')
  end
  -- No place is held for longer than the settings say, whatever became of the clock.
  if ends[slot] > now_ms + probe_timeout_ms then
    ends[slot] = now_ms + probe_timeout_ms
    redis.call('ZADD', leases_key, whole(ends[slot]), probe)
    reclaim_by(ends[slot])
  end
  retry_after_ms = math.min(retry_after_ms, ends[slot] - now_ms)
end
if #probes >= half_open_max_calls then
  return turn_away('rejected', whole(retry_after_ms))
end

if circuit.state == 'open' then
  local why = 'open_timeout_over'
  if circuit.mode == 'held_open' then
    why = 'hold_over'
    circuit.mode = 'automatic'
    redis.call('HSET', circuit_key, 'mode', 'automatic')
    redis.call('HDEL', circuit_key, 'held_by', 'held_reason', 'held_at')
  end
  moved = transition(circuit, 'half_open', why, who)
end
probes[#probes + 1] = 'probe:' .. token
redis.call('ZADD', leases_key, whole(now_ms + probe_timeout_ms), 'probe:' .. token)
reclaim_by(now_ms + probe_timeout_ms)
write_probes(probes)
return reply('probe', '')
