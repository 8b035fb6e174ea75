-- keys_and_clock: what every script knows first: the keys of one circuit, and what time it is
--
-- Stands in front of each script when it is loaded.
--
-- KEYS[1] circuit_key  hash: state, counts, tallies and the settings in force
-- KEYS[2] leases_key   sorted set: admission token -> end of its lease, Unix ms; a probe's token starts with "probe:"
-- KEYS[3] events_key   stream, capped: each transition, manual act and change of settings
-- KEYS[4] batches_key  sorted set: the latest batch of held-back tallies of each process -> when it came, Unix ms
-- returns nothing
-- upholds: all keys of a circuit lie in one slot and are declared; time is the server's, in whole ms

local circuit_key = KEYS[1]
local leases_key = KEYS[2]
local events_key = KEYS[3]
local batches_key = KEYS[4]

-- Read once: on some servers the clock moves while a script runs, on others it stands still.
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
