-- Removes an entry.
--
-- KEYS: map, leases, owners, the partition's due maps. ARGV: generation, seen, key, epoch of the birth ('': any),
-- offset of the birth, topic, name of the map among the due ones.
-- Answers: 0 removed, 1 absent, 2 fenced.
local map, leases, owners, due = unpack(KEYS)
local key, epoch, offset = ARGV[3], ARGV[4], tonumber(ARGV[5])
local entry = live(map, leases, key)
if not entry then return 1 end
if epoch ~= '' then
  local e, o = parse(entry)
  -- Only a later birth fences; an older one is what a restored dump brought back.
  if tonumber(e) > tonumber(epoch) or (e == epoch and o > offset) then return 2 end
end
remove(map, leases, owners, ARGV[6], key)
if call('ZCARD', leases) == 0 then call('ZREM', due, ARGV[7]) end
return 0
