-- How many entries have not lapsed, and of how many owners.
--
-- KEYS: map, leases, owners. ARGV: generation, seen. Answers: entries, owners.
-- The owners' hash counts what has lapsed too, until it is reaped; the little that waits is taken off here.
local WAITING = 1000
local entries = call('ZCOUNT', KEYS[2], '(' .. now, '+inf')
local owners = call('HLEN', KEYS[3])
local gone = {}
for _, key in ipairs(call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, WAITING)) do
  local entry = call('HGET', KEYS[1], key)
  if entry then
    local owner = owner_of(entry)
    gone[owner] = (gone[owner] or 0) + 1
  end
end
for owner, count in pairs(gone) do
  if tonumber(call('HGET', KEYS[3], owner) or 0) <= count then owners = owners - 1 end
end
return { entries, owners }
