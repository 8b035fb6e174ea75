-- declare: which settings does this process bring?
--
-- KEYS[1] circuit_key  see keys_and_clock.lua
-- KEYS[2] leases_key   see keys_and_clock.lua
-- KEYS[3] events_key   see keys_and_clock.lua
-- KEYS[4] batches_key  see keys_and_clock.lua
-- ARGV[1] who          the process that declares
-- ARGV[2] schema       version of the fields, for a later release to read
-- ARGV[3..] settings   name, value, name, value, ...; whole numbers
-- returns {verdict, unreadable field...}
--         verdict: created | changed | same
-- upholds: one configuration is in force for the whole fleet, the last that was declared, with what was tuned by hand
--          in its place (see tune.lua); declaring never touches a state, a count or a tally that others share

-- circuit.lua
-- settings.lua

local who = ARGV[1]
local schema = ARGV[2]

-- Longer than anything sent is still on its way. What is older was left by a process that is gone.
local BATCHES_KEPT_MS = 86400000

local TALLIES = {
  'successful_calls', 'failed_calls', 'rejected_calls', 'ignored_calls', 'released_calls', 'lost_calls',
  'late_results', 'observed_rejections', 'closed_to_open', 'open_to_half_open', 'half_open_to_closed', 'half_open_to_open', 'open_to_closed',
}

local verdict = 'same'
local circuit = circuit_in(redis.call('HMGET', circuit_key, 'state', 'mode', 'epoch'))
if not circuit then
  verdict = 'created'
  circuit = { state = 'closed', mode = 'automatic', epoch = now_us }
  -- What admissions and reports read stands first, in their order: a small hash is searched from its front.
  redis.call('HSET', circuit_key, 'state', 'closed', 'mode', 'automatic', 'epoch', whole(now_us), 'reclaim_at', '0',
    'lease_timeout_ms', '', 'rules', '', 'failure_count', '0', 'probes', '', 'opened_at', '', 'open_until', '',
    'open_timeout_ms', '', 'retry_after_ms', '', 'successful_calls', '0', 'failed_calls', '0', 'rejected_calls', '0',
    'failure_threshold', '', 'success_count', '0', 'started_at', whole(now_ms), 'last_state_change', whole(now_ms),
    'schema', schema, 'last_failure_time', '', 'last_failure_type', '', 'last_failure_by', '')
  for _, field in ipairs(TALLIES) do
    redis.call('HSETNX', circuit_key, field, '0')
  end
end

local names = {}
local settings = {}
for slot = 3, #ARGV, 2 do
  names[#names + 1] = ARGV[slot]
  settings[#settings + 1] = ARGV[slot + 1]
end

local kept = {}
for slot, name in ipairs(names) do
  kept[slot] = 'declared:' .. name
end
local in_force = redis.call('HMGET', circuit_key, unpack(names))
local declared = redis.call('HMGET', circuit_key, unpack(kept))
local changes = {}
for slot, name in ipairs(names) do
  local number = number_in(name, in_force[slot], LEAST[name] or 1)
  if declared[slot] and number then
    if declared[slot] ~= settings[slot] then
      redis.call('HSET', circuit_key, kept[slot], settings[slot])
      changes[#changes + 1] = kept[slot] .. '=' .. settings[slot]
    end
  else
    -- A value that nothing can be decided by ends its tuning.
    if declared[slot] then
      redis.call('HDEL', circuit_key, kept[slot])
    end
    if in_force[slot] ~= settings[slot] then
      redis.call('HSET', circuit_key, name, settings[slot])
      -- Rules that are off from the beginning are no news.
      if in_force[slot] or settings[slot] ~= OFF[name] then
        changes[#changes + 1] = name .. '=' .. settings[slot]
      end
    end
  end
end

write_rules()
-- Fields are only ever added: whoever knows fewer of them works with those, and writes no older number.
local kept_schema = tonumber(redis.call('HGET', circuit_key, 'schema'))
if not kept_schema or kept_schema < tonumber(schema) then
  redis.call('HSET', circuit_key, 'schema', schema)
end
if verdict == 'created' then
  reclaim()
elseif #changes > 0 then
  verdict = 'changed'
  redis.call('HSET', circuit_key, 'reclaim_at', '0')
end
redis.call('ZREMRANGEBYSCORE', batches_key, '-inf', whole(now_ms - BATCHES_KEPT_MS))
if verdict ~= 'same' then
  record(circuit.state, circuit.state, 'declared', who, { 'settings', table.concat(changes, ' ') })
end

local idle_ttl_ms = number_in('idle_ttl_ms', redis.call('HGET', circuit_key, 'idle_ttl_ms'))
if idle_ttl_ms == 0 then
  for _, key in ipairs(KEYS) do
    redis.call('PERSIST', key)
  end
elseif idle_ttl_ms then
  keep_or_expire(circuit, idle_ttl_ms)
end
return answer({ verdict })
