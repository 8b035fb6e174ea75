-- snapshot: what is there to see, at one instant?
--
-- KEYS[1] circuit_key  see keys_and_clock.lua
-- KEYS[2] leases_key   see keys_and_clock.lua
-- KEYS[3] events_key   see keys_and_clock.lua
-- KEYS[4] batches_key  see keys_and_clock.lua
-- returns {now_ms, calls in flight, probes in flight, {field, value, field, value, ...}}; no fields, no circuit
-- upholds: looking changes nothing

local fields = redis.call('HGETALL', circuit_key)
local calls_in_flight = redis.call('ZCOUNT', leases_key, '(' .. whole(now_ms), '+inf')
local probes = probes_in(redis.call('HGET', circuit_key, 'probes') or '')
return { whole(now_ms), whole(calls_in_flight), whole(#probes), fields }
