-- refresh: take what a process held back, and tell it where the circuit stands
--
-- KEYS[1] circuit_key  see keys_and_clock.lua
-- KEYS[2] leases_key   see keys_and_clock.lua
-- KEYS[3] events_key   see keys_and_clock.lua
-- KEYS[4] batches_key  see keys_and_clock.lua
-- ARGV[1] batch        a name for what is told, never used before; '' when nothing is
-- ARGV[2] told         an earlier batch that was sent once and answered, so that it cannot come again; '' without one
-- ARGV[3] who          the process that asks
-- ARGV[4] epoch        the epoch that all of the batch's calls were admitted in
-- ARGV[5] successful   how many calls ended so; the same for the next three
-- ARGV[6] rejected
-- ARGV[7] ignored
-- ARGV[8] released
-- ARGV[9] failed       '1' for a call that failed after all those, else '0'
-- ARGV[10] exception   name of that failure's type, '' without one
-- ARGV[11] retry_after_ms  the wait that the service asked for with that failure, '' where it did not
-- returns in the usual case one text: EPOCH (counted, and the circuit is closed); otherwise
--         {verdict, state, mode, epoch, retry_after_ms, transition, unreadable field...}
--         verdict: counted | late (tallied, decides nothing) | repeated (was counted before)
--                  | undeclared (no settings to decide by: declare, then tell again)
--         retry_after_ms: of an open circuit; '' where nobody knows
-- upholds: a batch counts once however often it is sent; results of another epoch decide nothing;
--          with report the only closed -> open

local batch = ARGV[1]
local told = ARGV[2]
local who = ARGV[3]
local epoch = ARGV[4]
local successful = tonumber(ARGV[5])
local rejected = tonumber(ARGV[6])
local ignored = tonumber(ARGV[7])
local released = tonumber(ARGV[8])
local failed = tonumber(ARGV[9])
local exception = ARGV[10]
local retry_after_ms = ARGV[11]

local values = redis.call('HMGET', circuit_key, 'state', 'mode', 'epoch', 'reclaim_at', 'idle_ttl_ms', 'failure_count',
  'successful_calls', 'failed_calls', 'rejected_calls', 'failure_threshold')

-- The usual case: a closed circuit that stays so. Whatever is not exactly as usual is looked at below.
local reclaim_at_ms = tonumber(values[4])
if retry_after_ms and values[1] == 'closed' and values[2] == 'automatic' and values[3] == epoch and values[5] == '0'
  and reclaim_at_ms and reclaim_at_ms > now_ms and ignored == 0 and released == 0 then
  local counts = {}
  local are_whole = true
  for slot = 6, 10 do
    local count = tonumber(values[slot])
    are_whole = are_whole and count and count >= 0 and count < 2 ^ 52 and count % 1 == 0
    counts[slot] = count
  end
  local failure_count = are_whole and (successful > 0 and 0 or counts[6]) + failed
  if are_whole and (failed == 0 or failure_count < counts[10])
    and (batch == '' or redis.call('ZADD', batches_key, 'NX', now_ms, batch) == 1) then
    if told ~= '' then
      redis.call('ZREM', batches_key, told)
    end
    if batch == '' then
      return epoch
    end
    redis.call('HSET', circuit_key, 'failure_count', string.format('%.0f', failure_count),
      'successful_calls', string.format('%.0f', counts[7] + successful),
      'failed_calls', string.format('%.0f', counts[8] + failed),
      'rejected_calls', string.format('%.0f', counts[9] + rejected))
    if failed > 0 then
      redis.call('HSET', circuit_key, 'last_failure_time', string.format('%.0f', now_ms),
        'last_failure_type', exception, 'last_failure_by', who)
    end
    return epoch
  end
end

-- circuit.lua

if not retry_after_ms or not (successful and rejected and ignored and released and failed) then
  return redis.error_reply('ERR refresh takes batch, told, who, epoch, successful, rejected, ignored, '
    .. 'released, failed, exception, retry_after_ms')
end

local circuit = circuit_in(values)
local rule = rule_in_force()
local idle_ttl_ms = number_in('idle_ttl_ms', values[5])
if not circuit or not rule or not idle_ttl_ms then
  return answer({ 'undeclared', '', '', '0', '', '' })
end

reclaim()

local function reply(verdict, moved)
  local retry_after = ''
  if circuit.state == 'open' then
    local open_until = redis.call('HGET', circuit_key, 'open_until')
    if tonumber(open_until) or circuit.mode ~= 'held_open' then
      retry_after = whole(math.max(0, (tonumber(open_until) or 0) - now_ms))
    end
  end
  keep_or_expire(circuit, idle_ttl_ms)
  return answer({ verdict, circuit.state, circuit.mode, whole(circuit.epoch), retry_after, moved })
end

if told ~= '' then
  redis.call('ZREM', batches_key, told)
end
if batch == '' then
  return reply('counted', '')
end
if redis.call('ZADD', batches_key, 'NX', whole(now_ms), batch) == 0 then
  return reply('repeated', '')
end

local results = 0
for field, by in pairs({ successful_calls = successful, failed_calls = failed, ignored_calls = ignored,
  released_calls = released }) do
  if by > 0 then
    tally(field, by)
    results = results + by
  end
end
if rejected > 0 then
  tally('rejected_calls', rejected)
end
if failed > 0 then
  note_failure(who, exception)
end
if results > 0 and epoch ~= whole(circuit.epoch) then
  tally('late_results', results)
  return reply('late', '')
end

if circuit.state == 'closed' and circuit.mode == 'automatic' then
  local counted = values[6]
  if successful > 0 and counted ~= '0' then
    counted = '0'
    redis.call('HSET', circuit_key, 'failure_count', '0')
  end
  if failed > 0 then
    return reply('counted', count_failure(circuit, rule, counted, who, exception, retry_after_ms))
  end
end
return reply('counted', '')
