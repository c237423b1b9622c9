-- Behind head.lua, in front of the scripts of a map: one entry and its lease.
--
-- A map is a hash of key -> 'epoch offset announced length owner value' (epoch and offset are the birth,
-- length is the owner's), a ZSET of leases by the time at which they lapse, and a hash of owner -> entries.
local function parse(entry)
  local epoch, offset, announced, length, at = string.match(entry, '^(%d+) (%d+) (%d) (%d+) ()')
  return epoch, tonumber(offset), announced == '1', tonumber(length), at
end

local function owner_of(entry)
  local _, _, _, length, at = parse(entry)
  return string.sub(entry, at, at + length - 1)
end

-- Removes an entry, and tells so where its coming was told.
local function remove(map, leases, owners, topic, key)
  local entry = call('HGET', map, key)
  call('ZREM', leases, key)
  if not entry then return end
  call('HDEL', map, key)
  local _, _, announced, length, at = parse(entry)
  local owner = string.sub(entry, at, at + length - 1)
  if call('HINCRBY', owners, owner, -1) <= 0 then call('HDEL', owners, owner) end
  if announced then call('SPUBLISH', topic, 'L' .. string.sub(entry, at + length + 1)) end
end

-- The entry under `key` unless it has lapsed or never was.
local function live(map, leases, key)
  local until_ = call('ZSCORE', leases, key)
  if until_ and tonumber(until_) > now then return call('HGET', map, key) end
  return false
end
