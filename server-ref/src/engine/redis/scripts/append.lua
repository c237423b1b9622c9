-- Appends publications, several channels at once: a run is what goes to one channel with one retention.
--
-- ARGV: generation, seen, bytes above which a hint carries no publication, number of runs; per run: size, ttl,
-- meta_ttl, topic, number of publications; per publication: data, meta, ttl of its idempotency key (0: none).
-- KEYS: per run that keeps something head and log; per publication with an idempotency key that key.
-- Answers: now; per run the epoch ('' where nothing is kept); per publication its offset, or for a duplicate
-- the text 'epoch offset time' of the first one.
local small = tonumber(ARGV[3])
local answer = { now }
local a, k = 5, 1
for _ = 1, tonumber(ARGV[4]) do
  local size, ttl, meta_ttl = tonumber(ARGV[a]), tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2])
  local topic, count = ARGV[a + 3], tonumber(ARGV[a + 4])
  a = a + 5
  local kept = size > 0
  local head, log, e, o, f, u, x, y
  if kept then
    head, log = KEYS[k], KEYS[k + 1]
    k = k + 2
    e, o, f, u, x, y = open(head, log)
    if now >= u then f = o + 1 end
  else
    e, o = '', 0
  end
  answer[#answer + 1] = e
  local told, all_small = { kept and 'A' .. e or 'N' }, true
  for _ = 1, count do
    local data, meta, key_ttl = ARGV[a], ARGV[a + 1], ARGV[a + 2]
    a = a + 3
    local first = false
    local key
    if key_ttl ~= '0' then
      key = KEYS[k]
      k = k + 1
      first = redis.call('GET', key)
    end
    if first then
      answer[#answer + 1] = first
    else
      if kept then
        o = o + 1
        redis.call('XADD', log, 'MAXLEN', '~', size, o .. '-0', 't', now, 'd', data, 'm', meta)
        if #data + #meta > small then all_small = false end
      end
      if key then redis.call('SET', key, (kept and e or '-') .. ' ' .. o .. ' ' .. now, 'PX', key_ttl) end
      told[#told + 1] = o .. ' ' .. now .. ' ' .. #data .. ' ' .. #meta .. '\n' .. data .. meta
      answer[#answer + 1] = o
    end
  end
  if #told > 1 then
    if kept then
      u = now + ttl
      redis.call('HSET', head, 'o', o, 'f', math.max(f, o - size + 1), 'u', u)
      if u > x or x > u + ttl then
        x = u + math.floor(ttl / 8)
        redis.call('HSET', head, 'x', x)
        redis.call('PEXPIREAT', log, x)
      end
      keep(head, y, math.max(meta_ttl, ttl))
    end
    redis.call('SPUBLISH', topic, all_small and table.concat(told) or 'B' .. e .. ' ' .. o)
  end
end
return answer
