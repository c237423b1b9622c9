-- Removes lapsed entries of maps of one partition, and tells each once.
--
-- KEYS: the partition's due maps; per map: map, leases, owners. ARGV: generation, seen, entries at most; per map:
-- topic, name among the due ones. Answers: entries removed, 1 where lapsed ones are left.
local left, removed, more = tonumber(ARGV[3]), 0, 0
for i = 1, (#KEYS - 1) / 3 do
  local map, leases, owners = KEYS[3 * i - 1], KEYS[3 * i], KEYS[3 * i + 1]
  local topic, name = ARGV[2 * i + 2], ARGV[2 * i + 3]
  for _, key in ipairs(call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, left)) do
    remove(map, leases, owners, topic, key)
    left = left - 1
    removed = removed + 1
  end
  local first = call('ZRANGE', leases, 0, 0, 'WITHSCORES')
  if #first == 0 then
    call('ZREM', KEYS[1], name)
  else
    call('ZADD', KEYS[1], first[2], name)
    if tonumber(first[2]) <= now then more = 1 end
  end
end
return { removed, more }
