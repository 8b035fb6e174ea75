-- settle: what did a process decide by itself while it could not ask?
--
-- KEYS[1] circuit_key  see circuit.lua
-- KEYS[2] leases_key   see circuit.lua
-- KEYS[3] events_key   see circuit.lua
-- ARGV[1] batch        the sender's own name for these tallies, never used before
-- ARGV[2] again        '1' when the same batch was sent before and no answer came, else '0'
-- ARGV[3] who          the process
-- ARGV[4] away_ms      how long it could not ask
-- ARGV[5] successful   calls by outcome
-- ARGV[6] failed
-- ARGV[7] rejected
-- ARGV[8] ignored
-- ARGV[9] released
-- ARGV[10..] tokens    admissions that were asked for and never answered: whatever they left is withdrawn
-- returns {verdict, unreadable field...}
--         verdict: settled | repeated (this batch was added before) | undeclared (there is no such circuit)
-- upholds: a batch is added once however often it is sent; it decides nothing; it leaves one event

local batch = ARGV[1]
local again = ARGV[2]
local who = ARGV[3]
local away_ms = tonumber(ARGV[4])
local successful = tonumber(ARGV[5])
local failed = tonumber(ARGV[6])
local rejected = tonumber(ARGV[7])
local ignored = tonumber(ARGV[8])
local released = tonumber(ARGV[9])

local circuit = circuit_in(redis.call('HMGET', circuit_key, 'state', 'mode', 'epoch'))
if not circuit then
  return answer({ 'undeclared' })
end

-- The event has to be written anyway, and is the memory of what was added.
if again == '1' and is_recorded('batch', batch) then
  return answer({ 'repeated' })
end
redis.call('XADD', events_key, 'MAXLEN', whole(EVENTS_KEPT), '*', 'from', circuit.state, 'to', circuit.state,
  'why', 'was_away', 'who', who, 'away_since', whole(now_ms - away_ms), 'away_ms', whole(away_ms),
  'calls', whole(successful + failed + rejected + ignored + released), 'batch', batch)

for field, by in pairs({ successful_calls = successful, failed_calls = failed, rejected_calls = rejected,
  ignored_calls = ignored, released_calls = released }) do
  if by > 0 then
    tally(field, by)
  end
end
for slot = 10, #ARGV do
  redis.call('ZREM', leases_key, ARGV[slot], 'probe:' .. ARGV[slot])
end
return answer({ 'settled' })
