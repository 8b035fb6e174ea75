-- settings: which of them are in force, and whether they are any but the default rule's
--
-- Stands in the scripts that write settings, after circuit.lua.
--
-- returns nothing
-- upholds: `rules` says "plain" where failures in a row are all that opens the circuit, so that most calls need not ask
--          for what is not used; "extended" where anything else is in force

-- The least that a setting may be, where that is not 1.
local LEAST = { idle_ttl_ms = 0, push = 0, failure_threshold = 0 }
-- What each setting of a rule is while the rule is off.
local OFF = {}
local RULE_SETTINGS, LEAST_OF_RULE = rule_settings()
for slot, name in ipairs(RULE_SETTINGS) do
  LEAST[name] = LEAST_OF_RULE[slot]
  if name ~= 'lease_timeout_ms' then
    OFF[name] = whole(LEAST_OF_RULE[slot])
  end
end

-- What takes a call off the short way. The other settings of a rate say nothing without its percentage.
local EXTENDING = { 'failure_rate_percent', 'slow_call_rate_percent', 'timeout_growth_percent', 'ramp_up_ms',
  'minimum_reporters', 'max_in_flight', 'observe' }

local function write_rules()
  local idle_ttl_ms = redis.call('HGET', circuit_key, 'idle_ttl_ms')
  local rules = (not idle_ttl_ms or idle_ttl_ms == '' or idle_ttl_ms == '0') and 'plain' or 'extended'
  for _, name in ipairs(EXTENDING) do
    local value = redis.call('HGET', circuit_key, name)
    if value and value ~= '' and value ~= OFF[name] then
      rules = 'extended'
    end
  end
  if redis.call('HGET', circuit_key, 'rules') ~= rules then
    redis.call('HSET', circuit_key, 'rules', rules)
    if rules == 'plain' then
      redis.call('HDEL', circuit_key, 'ramp_until', 'ramp_credit', 'reopenings')
      forget_what_rules_keep()
    end
  end
end
