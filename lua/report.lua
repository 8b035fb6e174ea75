-- report: how did an admitted call end?
--
-- KEYS[1] circuit_key  see circuit.lua
-- KEYS[2] leases_key   see circuit.lua
-- KEYS[3] events_key   see circuit.lua
-- ARGV[1] token        as admitted: a probe's starts with "probe:"
-- ARGV[2] epoch        the epoch that the admission was made in
-- ARGV[3] outcome      success | failure | ignored | released
-- ARGV[4] who          the process that reports
-- ARGV[5] exception    name of the exception's type, '' without one
-- returns {verdict, state, mode, epoch, transition, unreadable field...}
--         verdict: counted | late (tallied, decides nothing) | unknown (was counted before, or is lost)
--                  | undeclared (no settings to decide by: declare, then report again)
-- upholds: the report that ends the lease is the one that counts, so each counts once however often it is sent;
--          a report from another epoch decides nothing; the only closed -> open, half_open -> open and -> closed

local token = ARGV[1]
local epoch = ARGV[2]
local outcome = ARGV[3]
local who = ARGV[4]
local exception = ARGV[5]

local TALLIES = {
  success = 'successful_calls',
  failure = 'failed_calls',
  ignored = 'ignored_calls',
  released = 'released_calls',
}

if not TALLIES[outcome] or not exception then
  return redis.error_reply('ERR report takes token, epoch, outcome (success, failure, ignored, released), who, '
    .. 'exception')
end

local values = redis.call('HMGET', circuit_key, 'state', 'mode', 'epoch', 'failure_count', 'success_count',
  'failure_threshold', 'success_threshold', 'open_timeout_ms', 'idle_ttl_ms', 'probes')
local circuit = circuit_in(values)
local failure_threshold = number_in('failure_threshold', values[6], 1)
local success_threshold = number_in('success_threshold', values[7], 1)
local open_timeout_ms = number_in('open_timeout_ms', values[8], 1)
local idle_ttl_ms = number_in('idle_ttl_ms', values[9])
if not circuit or not failure_threshold or not success_threshold or not open_timeout_ms or not idle_ttl_ms then
  return answer({ 'undeclared', '', '', '0', '' })
end

reclaim()

local function reply(verdict, moved)
  keep_or_expire(circuit, idle_ttl_ms)
  return answer({ verdict, circuit.state, circuit.mode, whole(circuit.epoch), moved })
end

if redis.call('ZREM', leases_key, token) == 0 then
  return reply('unknown', '')
end

if values[10] then
  write_probes((probes_in(values[10])))
end
tally(TALLIES[outcome], 1)
if outcome == 'failure' then
  redis.call('HSET', circuit_key, 'last_failure_time', whole(now_ms), 'last_failure_type', exception,
    'last_failure_by', who)
end
if epoch ~= whole(circuit.epoch) then
  tally('late_results', 1)
  return reply('late', '')
end

if circuit.state == 'half_open' then
  if outcome == 'failure' then
    return reply('counted', transition(circuit, 'open', 'probe_failed', who, now_ms + open_timeout_ms,
      { 'exception', exception }))
  end
  if outcome == 'success' then
    local success_count = (number_in('success_count', values[5]) or 0) + 1
    if success_count >= success_threshold then
      return reply('counted', transition(circuit, 'closed', 'success_threshold', who))
    end
    redis.call('HSET', circuit_key, 'success_count', whole(success_count))
  end
elseif circuit.state == 'closed' and circuit.mode == 'automatic' then
  if outcome == 'failure' then
    local failure_count = (number_in('failure_count', values[4]) or 0) + 1
    redis.call('HSET', circuit_key, 'failure_count', whole(failure_count))
    if failure_count >= failure_threshold then
      return reply('counted', transition(circuit, 'open', 'failure_threshold', who, now_ms + open_timeout_ms,
        { 'exception', exception, 'failure_count', whole(failure_count) }))
    end
  elseif outcome == 'success' and values[4] ~= '0' then
    redis.call('HSET', circuit_key, 'failure_count', '0')
  end
end
return reply('counted', '')
