-- Appends publications, several channels at once: a run is what goes to one channel in one way.
--
-- ARGV: generation, seen, bytes above which a hint carries no publication, number of runs and of ways; per way:
-- size, ttl, meta_ttl, publications in a run, 1 where each has an idempotency key; per run: number of its way; per
-- publication: 'length length\n', data and meta in one, and where it is keyed the ttl of its key.
-- KEYS: per run head and log (log alone, for its name, where nothing is kept), then the idempotency keys.
-- Answers: now; per run the epoch ('' where nothing is kept); per publication its offset, or for a duplicate
-- the text 'epoch offset time' of the first one.
local TRIM = 8
local small = tonumber(ARGV[3])
local ways, a, k = {}, 6, 1
for i = 1, tonumber(ARGV[5]) do
  local size, ttl, meta_ttl = tonumber(ARGV[a]), tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2])
  ways[i] = { size, ttl, math.max(meta_ttl, ttl), tonumber(ARGV[a + 3]), ARGV[a + 4] == '1' }
  a = a + 5
end
local answer, n = { now }, 1
local time = now .. ' '
for _ = 1, tonumber(ARGV[4]) do
  local size, ttl, span, count, keyed = unpack(ways[tonumber(ARGV[a])])
  a = a + 1
  local kept = size > 0
  local head, log, o, f, u, x, y, e, earlier
  if kept then
    head, log = KEYS[k], KEYS[k + 1]
    k = k + 2
    o, f, u, x, y, e, earlier = open(head, log)
    if now >= u then f = o + 1 end
  else
    log, o, e = KEYS[k], 0, ''
    k = k + 1
  end
  n = n + 1
  answer[n] = e
  local told, lines, all_small = {}, 0, true
  for _ = 1, count do
    local line = time .. ARGV[a]
    a = a + 1
    local key, first
    if keyed then
      key = KEYS[k]
      first = call('GET', key)
      k = k + 1
      a = a + 1
    end
    n = n + 1
    if first then
      answer[n] = first
    else
      if kept then
        o = o + 1
        if o % TRIM == 0 then
          call('XADD', log, 'MAXLEN', '~', size, o .. '-0', 'p', line)
        else
          call('XADD', log, o .. '-0', 'p', line)
        end
        if #line > small then all_small = false end
      end
      if key then call('SET', key, (kept and e or '-') .. ' ' .. o .. ' ' .. now, 'PX', ARGV[a - 1]) end
      lines = lines + 1
      told[lines] = o .. ' ' .. line
      answer[n] = o
    end
  end
  if lines > 0 then
    if kept then
      u = now + ttl
      if u > x or x > u + ttl then
        x = u + math.floor(ttl / 8)
        call('PEXPIREAT', log, x)
      end
      save(head, o, math.max(f, o - size + 1), u, x, y, e, earlier, span)
    end
    local text = lines == 1 and told[1] or table.concat(told)
    call('SPUBLISH', log, not kept and 'N' .. text or all_small and 'A' .. e .. text or 'B' .. e .. ' ' .. o)
  end
end
return answer
