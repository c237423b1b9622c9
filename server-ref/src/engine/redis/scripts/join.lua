-- Makes an entry, or takes over the one under its key.
--
-- KEYS: head, map, leases, owners, the partition's due maps. ARGV: generation, seen, key, owner, value, lease,
-- 1 for announced, topic, name of the map among the due ones.
-- Answers: epoch and offset of the birth, 1 where an entry was taken over.

-- Births must never come again while somebody holds one: the head outlives every lease by an hour.
local KEEP = 3600000
local head, map, leases, owners, due = unpack(KEYS)
local key, owner, value, lease, topic = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[8]
local until_ = call('ZSCORE', leases, key)
if until_ and tonumber(until_) <= now then
  remove(map, leases, owners, topic, key)
  until_ = false
end
local o, f, u, x, y, e, earlier = open(head)
o = o + 1
save(head, o, f, u, x, y, e, earlier, lease + KEEP)
local before = until_ and call('HGET', map, key)
if before then
  local owned_by = owner_of(before)
  if call('HINCRBY', owners, owned_by, -1) <= 0 then call('HDEL', owners, owned_by) end
end
call('HINCRBY', owners, owner, 1)
call('HSET', map, key, e .. ' ' .. o .. ' ' .. ARGV[7] .. ' ' .. #owner .. ' ' .. owner .. ' ' .. value)
call('ZADD', leases, now + lease, key)
call('ZADD', due, 'LT', now + lease, ARGV[9])
if ARGV[7] == '1' and not before then call('SPUBLISH', topic, 'J' .. value) end
return { e, o, before and 1 or 0 }
