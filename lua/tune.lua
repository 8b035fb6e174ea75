-- tune: change settings for the whole fleet at once, by hand, until somebody clears that
--
-- KEYS[1] circuit_key  see keys_and_clock.lua
-- KEYS[2] leases_key   see keys_and_clock.lua
-- KEYS[3] events_key   see keys_and_clock.lua
-- KEYS[4] batches_key  see keys_and_clock.lua
-- ARGV[1] who          who asked
-- ARGV[2] reason       why, in the words of who asked; may be ''
-- ARGV[3] request      the sender's own name for this act, never used before
-- ARGV[4..] settings   name, value, name, value, ...; whole numbers, or '' for what the processes declare
-- returns {verdict, unreadable field...}
--         verdict: changed | same | undeclared (there is no such circuit)
-- upholds: what is tuned is in force until it is cleared, whatever is declared meanwhile; that is kept beside it, in
--          `declared:NAME`, and in force again from then on; no state, count or tally is touched

-- circuit.lua
-- settings.lua

local who = ARGV[1]
local reason = ARGV[2]
local request = ARGV[3]

-- What decides. How long an unused circuit is kept and whether it publishes is its processes' business.
local TUNABLE = {
  failure_threshold = true, success_threshold = true, half_open_max_calls = true, open_timeout_ms = true,
  probe_timeout_ms = true, max_timeout_ms = true,
}
for _, name in ipairs(RULE_SETTINGS) do
  TUNABLE[name] = true
end
-- Whether failures in a row open the circuit at all is its processes' business too.
LEAST.failure_threshold = 1

local names = {}
local settings = {}
for slot = 4, #ARGV, 2 do
  local name = ARGV[slot]
  local value = ARGV[slot + 1]
  local number = number_in(name, value, LEAST[name] or 1)
  if not TUNABLE[name] or value ~= '' and not number then
    names = {}
    break
  end
  names[#names + 1] = name
  settings[#settings + 1] = number and whole(number) or ''
end
if #names == 0 then
  return redis.error_reply('ERR tune takes who, reason, request, and then settings that decide, each with a whole '
    .. 'number, or with nothing to clear it')
end

local values = redis.call('HMGET', circuit_key, 'state', 'mode', 'epoch', 'idle_ttl_ms')
local circuit = circuit_in(values)
local idle_ttl_ms = number_in('idle_ttl_ms', values[4])
if not circuit or not idle_ttl_ms then
  return answer({ 'undeclared' })
end
if is_recorded('request', request) then
  return answer({ 'changed' })
end

local changes = {}
local cleared = {}
for slot, name in ipairs(names) do
  local kept = 'declared:' .. name
  local in_force = redis.call('HGET', circuit_key, name)
  local declared = redis.call('HGET', circuit_key, kept)
  local value = settings[slot]
  if value == '' then
    if declared then
      redis.call('HSET', circuit_key, name, declared)
      redis.call('HDEL', circuit_key, kept)
      changes[#changes + 1] = name .. '=' .. declared
      cleared[#cleared + 1] = name
    end
  elseif not declared or in_force ~= value then
    redis.call('HSET', circuit_key, name, value)
    redis.call('HSETNX', circuit_key, kept, in_force or '')
    changes[#changes + 1] = name .. '=' .. value
  end
end
if #changes == 0 then
  return answer({ 'same' })
end
write_rules()

local is_tuned = false
for name in pairs(TUNABLE) do
  is_tuned = is_tuned or redis.call('HGET', circuit_key, 'declared:' .. name)
end
if is_tuned then
  redis.call('HSET', circuit_key, 'tuned_by', who, 'tuned_reason', reason, 'tuned_at', whole(now_ms))
else
  redis.call('HDEL', circuit_key, 'tuned_by', 'tuned_reason', 'tuned_at')
end
redis.call('HSET', circuit_key, 'reclaim_at', '0')
local details = { 'settings', table.concat(changes, ' '), 'reason', reason, 'request', request }
if #cleared > 0 then
  details[#details + 1] = 'cleared'
  details[#details + 1] = table.concat(cleared, ' ')
end
record(circuit.state, circuit.state, 'tune', who, details)
keep_or_expire(circuit, idle_ttl_ms)
return answer({ 'changed' })
