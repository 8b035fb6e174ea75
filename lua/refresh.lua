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
-- ARGV[12] slow        how many of the successes and the failure were slow; may be left out, where nobody asks
-- returns in the usual case one text: EPOCH (counted, and the circuit is closed); otherwise
--         {verdict, state, mode, epoch, retry_after_ms, transition, unreadable field...}
--         verdict: counted | late (tallied, decides nothing) | repeated (was counted before)
--                  | undeclared (no settings to decide by: declare, then tell again)
--         mode: as the hash has it, or "observe"
--         retry_after_ms: of an open circuit; '' where nobody knows. Of a closed one: '0' where each call has to ask
-- upholds: a batch counts once however often it is sent; results of another epoch decide nothing;
--          with report the only closed -> open

local batch = ARGV[1]
local told = ARGV[2]
local who = ARGV[3]
local epoch = ARGV[4]
local successful = ARGV[5]
local rejected = ARGV[6]
local ignored = ARGV[7]
local released = ARGV[8]
local failed = ARGV[9]
local exception = ARGV[10]
local retry_after_ms = ARGV[11]
local slow = ARGV[12]

local values = redis.call('HMGET', circuit_key, 'state', 'mode', 'epoch', 'reclaim_at', 'rules', 'failure_count',
  'successful_calls', 'failed_calls', 'rejected_calls', 'failure_threshold')

-- The usual case: a closed circuit that stays so. Whatever is not exactly as usual is looked at below.
local reclaim_at_ms = tonumber(values[4])
local failure_count = tonumber(values[6])
local failure_threshold = tonumber(values[10])
if retry_after_ms and values[3] == epoch and values[1] == 'closed' and values[2] == 'automatic' and values[5] == 'plain'
  and reclaim_at_ms and reclaim_at_ms > now_ms and ignored == '0' and released == '0'
  and failure_count and failure_count >= 0 and failure_count % 1 == 0
  and failure_threshold and failure_threshold < 2 ^ 53 and failure_threshold % 1 == 0
  and (successful == '0' or string.find(values[7] or '', '^%d+$') and #values[7] < 16)
  and (failed == '0' or string.find(values[8] or '', '^%d+$') and #values[8] < 16)
  and (rejected == '0' or string.find(values[9] or '', '^%d+$') and #values[9] < 16) then
  if successful ~= '0' then
    failure_count = 0
  end
  if batch == '' and told == '' then
    return epoch
  end
  local now = string.format('%.0f', now_ms)
  if (failed == '0' or failure_count + 1 < failure_threshold) and batch ~= ''
    and redis.call('ZADD', batches_key, 'NX', now, batch) == 1 then
    if told ~= '' then
      redis.call('ZREM', batches_key, told)
    end
    if rejected ~= '0' then
      redis.call('HINCRBY', circuit_key, 'rejected_calls', rejected)
    end
    if successful ~= '0' then
      redis.call('HINCRBY', circuit_key, 'successful_calls', successful)
      if failed == '0' and values[6] ~= '0' then
        redis.call('HSET', circuit_key, 'failure_count', '0')
      end
    end
    if failed ~= '0' then
      redis.call('HINCRBY', circuit_key, 'failed_calls', failed)
      redis.call('HSET', circuit_key, 'failure_count', string.format('%.0f', failure_count + 1),
        'last_failure_time', now, 'last_failure_type', exception, 'last_failure_by', who)
    end
    return epoch
  end
end

-- circuit.lua
-- trip_rules.lua

local counts = { successful_calls = tonumber(successful), failed_calls = tonumber(failed),
  ignored_calls = tonumber(ignored), released_calls = tonumber(released) }
local rejections = tonumber(rejected)
if not retry_after_ms or not rejections or not (counts.successful_calls and counts.failed_calls
  and counts.ignored_calls and counts.released_calls) or slow and not tonumber(slow) then
  return redis.error_reply('ERR refresh takes batch, told, who, epoch, successful, rejected, ignored, '
    .. 'released, failed, exception, retry_after_ms, and perhaps slow')
end

local circuit = circuit_in(values, values[5])
local rule = rule_in_force(circuit)
if not rule then
  return answer({ 'undeclared', '', '', '0', '', '' })
end

reclaim()

local function reply(verdict, moved)
  local retry_after = ''
  if circuit.state == 'open' then
    local opening = redis.call('HMGET', circuit_key, 'opened_at', 'open_until', 'retry_after_ms', 'reopenings')
    local open_until_ms = number_in('open_until', opening[2])
    if circuit.mode ~= 'held_open' then
      -- As in admit, which writes it: moments that nobody can read, or of a clock that stepped back since, end now.
      local opened_at_ms = number_in('opened_at', opening[1])
      local longest_ms = opening_ms(rule, number_in('retry_after_ms', opening[3]), number_in('reopenings', opening[4]))
      local is_foreign = not opened_at_ms or not open_until_ms or opened_at_ms > now_ms
      open_until_ms = is_foreign and now_ms or math.min(open_until_ms, opened_at_ms + longest_ms)
    end
    if open_until_ms then
      retry_after = whole(math.max(0, open_until_ms - now_ms))
    end
  elseif circuit.state == 'closed' and circuit.rules ~= 'plain' and must_ask_each(rule) then
    retry_after = '0'
  end
  keep_or_expire(circuit, rule.idle_ttl_ms)
  local mode = is_observing(circuit, rule) and 'observe' or circuit.mode
  return answer({ verdict, circuit.state, mode, whole(circuit.epoch), retry_after, moved })
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
for field, by in pairs(counts) do
  if by > 0 then
    tally(field, by)
    results = results + by
  end
end
if rejections > 0 then
  tally('rejected_calls', rejections)
end
if counts.failed_calls > 0 then
  note_failure(who, exception)
end
if results > 0 and epoch ~= whole(circuit.epoch) then
  tally('late_results', results)
  return reply('late', '')
end

if circuit.state == 'closed' and circuit.mode == 'automatic' then
  return reply('counted', learn(circuit, rule, values[6], {
    successes = counts.successful_calls, failed = counts.failed_calls, slow = tonumber(slow or 0),
    who = who, exception = exception, retry_after_ms = retry_after_ms,
  }))
end
return reply('counted', '')
