-- The entries that have not lapsed.
--
-- KEYS: map, leases. ARGV: generation, seen, limit. Answers: 1 where there are more, then key and entry in turn.
-- Beyond SORTED entries the limit is not applied in the order of the keys: that would cost without bound.
local SORTED, PIECE = 10000, 500
local limit = tonumber(ARGV[3])
local keys = call('ZRANGEBYSCORE', KEYS[2], '(' .. now, '+inf', 'LIMIT', 0, math.max(SORTED, limit) + 1)
local more = #keys > limit
if more then table.sort(keys) end
local answer = { more and 1 or 0 }
local last = math.min(#keys, limit)
for from = 1, last, PIECE do
  local to = math.min(from + PIECE - 1, last)
  local entries = call('HMGET', KEYS[1], unpack(keys, from, to))
  for i = 1, to - from + 1 do
    if entries[i] then
      answer[#answer + 1] = keys[from + i - 1]
      answer[#answer + 1] = entries[i]
    end
  end
end
return answer
