-- Makes an entry, or takes over the one under its key.
--
-- KEYS: head, map, leases, owners, the partition's due maps. ARGV: generation, seen, key, owner, value, lease,
-- 1 for announced, topic, name of the map among the due ones.
-- Answers: epoch and offset of the birth, 1 where an entry was taken over.
local head, map, leases, owners, due = unpack(KEYS)
local key, owner, value, lease, topic = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[8]
local until_ = redis.call('ZSCORE', leases, key)
if until_ and tonumber(until_) <= now then
  remove(map, leases, owners, topic, key)
  until_ = false
end
local e, o, _, _, _, y = open(head)
o = o + 1
redis.call('HSET', head, 'o', o)
keep(head, y, lease + 3600000)
local before = until_ and redis.call('HGET', map, key)
if before then
  local owned_by = owner_of(before)
  if redis.call('HINCRBY', owners, owned_by, -1) <= 0 then redis.call('HDEL', owners, owned_by) end
end
redis.call('HINCRBY', owners, owner, 1)
redis.call('HSET', map, key, e .. ' ' .. o .. ' ' .. ARGV[7] .. ' ' .. #owner .. ' ' .. owner .. ' ' .. value)
redis.call('ZADD', leases, now + lease, key)
redis.call('ZADD', due, 'LT', now + lease, ARGV[9])
if ARGV[7] == '1' and not before then redis.call('SPUBLISH', topic, 'J' .. value) end
return { e, o, before and 1 or 0 }
