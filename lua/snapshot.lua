-- snapshot: what is there to see, at one instant?
--
-- KEYS[1] circuit_key  see keys_and_clock.lua
-- KEYS[2] leases_key   see keys_and_clock.lua
-- KEYS[3] events_key   see keys_and_clock.lua
-- KEYS[4] batches_key  see keys_and_clock.lua
-- returns {now_ms, calls in flight, probes in flight, {field, value, field, value, ...}}; no fields, no circuit
-- upholds: looking changes nothing

local calls_in_flight = redis.call('ZCOUNT', leases_key, string.format('(%.0f', now_ms), '+inf')
local probes_in_flight = 0
for token in string.gmatch(redis.call('HGET', circuit_key, 'probes') or '', '%S+') do
  if tonumber(redis.call('ZSCORE', leases_key, token) or 0) > now_ms then
    probes_in_flight = probes_in_flight + 1
  end
end
do
  return { string.format('%.0f', now_ms), string.format('%.0f', calls_in_flight),
    string.format('%.0f', probes_in_flight), redis.call('HGETALL', circuit_key) }
end

-- circuit.lua
