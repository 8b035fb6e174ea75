-- control: hold a circuit open, let it go, let everything through: by hand, with who and why
--
-- KEYS[1] circuit_key  see keys_and_clock.lua
-- KEYS[2] leases_key   see keys_and_clock.lua
-- KEYS[3] events_key   see keys_and_clock.lua
-- KEYS[4] batches_key  see keys_and_clock.lua
-- ARGV[1] act          force_open | force_close | disable | enable
-- ARGV[2] who          who asked
-- ARGV[3] reason       why, in the words of who asked; may be ''
-- ARGV[4] hold_ms      how long force_open holds; '' until somebody lets go
-- ARGV[5] request      the sender's own name for this act, never used before; may be left out
-- returns {verdict, state, mode, epoch, transition, unreadable field...}
--         verdict: done | undeclared (there is no such circuit)
-- upholds: one act is one script and one event; a transition only where the state changed; the last act wins

-- circuit.lua

local act = ARGV[1]
local who = ARGV[2]
local reason = ARGV[3]
local hold_ms = ARGV[4]
local request = ARGV[5]

local MODE_AFTER = { force_open = 'held_open', force_close = 'automatic', disable = 'disabled', enable = 'automatic' }
local STATE_AFTER = { force_open = 'open', force_close = 'closed', disable = 'closed', enable = 'closed' }
if not MODE_AFTER[act] or not hold_ms or hold_ms ~= '' and not tonumber(hold_ms) then
  return redis.error_reply('ERR control takes act (force_open, force_close, disable, enable), who, reason, '
    .. 'hold_ms (a number or empty)')
end

local values = redis.call('HMGET', circuit_key, 'state', 'mode', 'epoch', 'idle_ttl_ms', 'rules')
local circuit = circuit_in(values, values[5])
local idle_ttl_ms = number_in('idle_ttl_ms', values[4])
if not circuit or not idle_ttl_ms then
  return answer({ 'undeclared', '', '', '0', '' })
end

reclaim()

if request and is_recorded('request', request) then
  return answer({ 'done', circuit.state, circuit.mode, whole(circuit.epoch), '' })
end

local details = { 'reason', reason }
for name, value in pairs({ hold_ms = hold_ms, request = request }) do
  if value ~= '' then
    details[#details + 1] = name
    details[#details + 1] = value
  end
end

local moved = ''
if act == 'enable' and circuit.mode ~= 'disabled' then
  record(circuit.state, circuit.state, act, who, details)
else
  local state = STATE_AFTER[act]
  local open_until_ms = nil
  if act == 'force_open' and hold_ms ~= '' then
    open_until_ms = now_ms + tonumber(hold_ms)
  end
  circuit.mode = MODE_AFTER[act]
  redis.call('HSET', circuit_key, 'mode', circuit.mode)
  if circuit.mode == 'automatic' then
    redis.call('HDEL', circuit_key, 'held_by', 'held_reason', 'held_at')
  else
    redis.call('HSET', circuit_key, 'held_by', who, 'held_reason', reason, 'held_at', whole(now_ms))
  end
  if circuit.state ~= state then
    moved = transition(circuit, state, act, who, open_until_ms, details)
  else
    if state == 'closed' then
      forget_results(circuit)
    else
      redis.call('HSET', circuit_key, 'open_until', open_until_ms and whole(open_until_ms) or '')
    end
    record(state, state, act, who, details)
  end
  if state == 'closed' and circuit.rules ~= 'plain' then
    redis.call('HDEL', circuit_key, 'reopenings', 'ramp_until', 'ramp_credit')
  end
end
keep_or_expire(circuit, idle_ttl_ms)
return answer({ 'done', circuit.state, circuit.mode, whole(circuit.epoch), moved })
