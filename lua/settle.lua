-- settle: what did a process decide by itself while it could not ask?
--
-- KEYS[1] circuit_key  see keys_and_clock.lua
-- KEYS[2] leases_key   see keys_and_clock.lua
-- KEYS[3] events_key   see keys_and_clock.lua
-- KEYS[4] batches_key  see keys_and_clock.lua
-- ARGV[1] batch        the sender's own name for these tallies, never used before
-- ARGV[2] who          the process
-- ARGV[3] away_ms      how long it could not ask
-- ARGV[4] successful   calls by outcome
-- ARGV[5] failed
-- ARGV[6] rejected
-- ARGV[7] ignored
-- ARGV[8] released
-- ARGV[9..] tokens    admissions that were asked for and never answered: whatever they left is withdrawn
-- returns {verdict, unreadable field...}
--         verdict: settled | repeated (this batch was added before) | undeclared (there is no such circuit)
-- upholds: a batch is added once however often it is sent; it decides nothing; it leaves one event

-- circuit.lua

local batch = ARGV[1]
local who = ARGV[2]
local away_ms = tonumber(ARGV[3])
local successful = tonumber(ARGV[4])
local failed = tonumber(ARGV[5])
local rejected = tonumber(ARGV[6])
local ignored = tonumber(ARGV[7])
local released = tonumber(ARGV[8])

local circuit = circuit_in(redis.call('HMGET', circuit_key, 'state', 'mode', 'epoch'))
if not circuit then
  return answer({ 'undeclared' })
end

-- The event has to be written anyway, and is the memory of what was added. It is always looked for: of two
-- sendings the later may arrive first.
if is_recorded('batch', batch) then
  return answer({ 'repeated' })
end
record(circuit.state, circuit.state, 'was_away', who, {
  'away_since', whole(now_ms - away_ms), 'away_ms', whole(away_ms),
  'calls', whole(successful + failed + rejected + ignored + released), 'batch', batch,
})

for field, by in pairs({ successful_calls = successful, failed_calls = failed, rejected_calls = rejected,
  ignored_calls = ignored, released_calls = released }) do
  if by > 0 then
    tally(field, by)
  end
end
for slot = 9, #ARGV do
  redis.call('ZREM', leases_key, ARGV[slot], 'probe:' .. ARGV[slot], 'observed:' .. ARGV[slot])
end
return answer({ 'settled' })
