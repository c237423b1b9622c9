-- Drops a log's publications; the head stays.
-- KEYS: head, log.
if call('EXISTS', KEYS[1]) == 1 then
  local o, _, _, _, y, e, earlier = open(KEYS[1], KEYS[2])
  save(KEYS[1], o, o + 1, 0, 0, y, e, earlier, 0)
end
call('DEL', KEYS[2])
return 1
