-- Drops a log's publications; the head stays.
-- KEYS: head, log.
if redis.call('EXISTS', KEYS[1]) == 1 then
  local _, o = open(KEYS[1], KEYS[2])
  redis.call('HSET', KEYS[1], 'f', o + 1, 'u', 0, 'x', 0)
end
redis.call('DEL', KEYS[2])
return 1
