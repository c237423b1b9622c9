-- Behind head.lua, in front of the scripts that make heads and records: what a user has brought into being is
-- limited. The keys of it are a ZSET by the time at which they were last seen; a few of those that were not seen
-- for longest are looked at whenever one is added, so that what has expired makes room.
local LOOKS = 4

-- Whether `key` may be made; it is listed then, for as long as it may live.
local function own(owned, key, limit, span)
  -- What this very call has listed is still to be made.
  for _, other in ipairs(call('ZRANGEBYSCORE', owned, '-inf', '(' .. string.format('%.0f', micros), 'LIMIT', 0, LOOKS)) do
    if call('EXISTS', other) == 1 then
      call('ZADD', owned, string.format('%.0f', micros), other)
    else
      call('ZREM', owned, other)
    end
  end
  if call('ZCARD', owned) >= limit then return false end
  call('ZADD', owned, string.format('%.0f', micros), key)
  if call('PTTL', owned) < span then call('PEXPIRE', owned, 2 * span) end
  return true
end
