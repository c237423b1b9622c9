-- Prolongs leases of one partition.
--
-- KEYS: per renewal map and leases. ARGV: generation, seen; per renewal: key, epoch and offset of the birth,
-- lease. Answers per renewal: 0 renewed, 1 absent, 2 fenced.
-- An entry older than the birth that is held is what a restored dump brought back: the holder joins again.
local answer = {}
for i = 1, #KEYS / 2 do
  local map, leases = KEYS[2 * i - 1], KEYS[2 * i]
  local key, epoch, offset = ARGV[4 * i - 1], ARGV[4 * i], tonumber(ARGV[4 * i + 1])
  local entry = live(map, leases, key)
  if not entry then
    answer[i] = 1
  else
    local e, o = parse(entry)
    if e == epoch and o == offset then
      call('ZADD', leases, now + tonumber(ARGV[4 * i + 2]), key)
      answer[i] = 0
    else
      answer[i] = (tonumber(e) < tonumber(epoch) or (e == epoch and o < offset)) and 1 or 2
    end
  end
end
return answer
