-- forget: remove a circuit, with all that is known of it
--
-- KEYS[1] circuit_key  see keys_and_clock.lua
-- KEYS[2] leases_key   see keys_and_clock.lua
-- KEYS[3] events_key   see keys_and_clock.lua
-- KEYS[4] batches_key  see keys_and_clock.lua
-- ARGV[1] force        '1' also while calls are in flight, else '0'
-- returns {verdict, calls in flight}
--         verdict: forgotten | busy (calls are in flight) | undeclared (there was no such circuit; what it left is gone)
-- upholds: all of it goes at once, or nothing; the next call of a process declares its settings and starts anew

-- circuit.lua

local force = ARGV[1]

local leases = redis.pcall('ZCOUNT', leases_key, '(' .. whole(now_ms), '+inf')
if type(leases) == 'table' and not string.find(leases.err, 'WRONGTYPE') then
  leases = redis.call('ZCOUNT', leases_key, '(' .. whole(now_ms), '+inf')
end
-- What is of another type holds no leases, and is in the way all the same.
local calls_in_flight = type(leases) == 'number' and leases or 0
if calls_in_flight > 0 and force ~= '1' then
  return { 'busy', whole(calls_in_flight) }
end
local was_there = redis.call('EXISTS', circuit_key) == 1
redis.call('DEL', circuit_key, leases_key, events_key, batches_key)
return { was_there and 'forgotten' or 'undeclared', whole(calls_in_flight) }
