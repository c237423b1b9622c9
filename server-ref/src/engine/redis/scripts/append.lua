-- Judges and appends publications, several channels at once: a run is what goes to one channel in one way.
--
-- ARGV: generation, seen, bytes above which a hint carries no publication, number of runs and of ways; per way:
-- size, ttl, meta_ttl, publications in a run, how they are known again (0 not at all, 1 by a key, 2 by their
-- producer), how much their users may own (0: as much as they like); per run: number of its way; per publication: 'length length\n', data and meta in one, or '' where it
-- must not be appended; where it has a key the key's ttl; where it has a producer session, number, id and window.
-- KEYS: per run head and log (log alone, for its name, where nothing is kept), then the idempotency keys, or the
-- producers' records, each with what its user owns where that is limited; those follow alone where nothing is
-- known again.
-- Answers: now; per run the epoch ('' where nothing is kept); per publication its offset, or the text 'epoch
-- offset time' of the one that was there, with ' expected' where it has a producer, or F fenced, T<expected> taken,
-- O<expected> out of order, U unknown producer, R not there, L too much is owned.
local TRIM = 8
local small = tonumber(ARGV[3])
local ways, a, k = {}, 6, 1
for i = 1, tonumber(ARGV[5]) do
  local size, ttl, meta_ttl = tonumber(ARGV[a]), tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2])
  ways[i] = { size, ttl, math.max(meta_ttl, ttl), tonumber(ARGV[a + 3]), ARGV[a + 4], tonumber(ARGV[a + 5]) }
  a = a + 6
end
local answer, n = { now }, 1
local time = now .. ' '
for _ = 1, tonumber(ARGV[4]) do
  local size, ttl, span, count, known_by, limit = unpack(ways[tonumber(ARGV[a])])
  a = a + 1
  local kept = size > 0
  local head, log, o, f, u, x, y, e, earlier, is_new
  if kept then
    head, log = KEYS[k], KEYS[k + 1]
    k = k + 2
    o, f, u, x, y, e, earlier, is_new = open(head, log)
    if now >= u then f = o + 1 end
  else
    log, o, e = KEYS[k], 0, ''
    k = k + 1
  end
  n = n + 1
  answer[n] = e
  local told, lines, all_small, tells_epoch = {}, 0, true, false
  local producer, record
  for _ = 1, count do
    local body = ARGV[a]
    a = a + 1
    local key, owned, instead
    local number, id, window
    if known_by ~= '0' then
      key = KEYS[k]
      k = k + 1
    end
    if limit > 0 then
      owned = KEYS[k]
      k = k + 1
    end
    if known_by == '1' then
      instead = call('GET', key)
      a = a + 1
    elseif known_by == '2' then
      if producer ~= key then producer, record = key, call('GET', key) end
      number, id, window = tonumber(ARGV[a + 1]), ARGV[a + 2], ARGV[a + 3]
      local is_used = false
      if not record and number == 1 and owned and not own(owned, key, limit, tonumber(window)) then
        instead = 'L'
      else
        instead, record, is_used = judge(record, tonumber(ARGV[a]), number, id)
      end
      if is_used and (instead or body == '') then call('SET', key, record, 'PX', window) end
      if instead and string.byte(instead) == 79 then tells_epoch = true end
      a = a + 4
    end
    if not instead and body ~= '' and kept and y == 0 and lines == 0 and owned then
      if not own(owned, head, limit, span) then
        instead, record = 'L', false
      end
    end
    n = n + 1
    if instead then
      answer[n] = instead
    elseif body == '' then
      answer[n] = 'R'
    else
      local line = time .. body
      if kept then
        o = o + 1
        if o % TRIM == 0 then
          call('XADD', log, 'MAXLEN', '~', size, o .. '-0', 'p', line)
        else
          call('XADD', log, o .. '-0', 'p', line)
        end
        if #line > small then all_small = false end
      end
      if known_by == '1' then
        call('SET', key, (kept and e or '-') .. ' ' .. o .. ' ' .. now, 'PX', ARGV[a - 1])
      elseif known_by == '2' then
        record = with(record, number, id, e, o)
        call('SET', key, record, 'PX', window)
      end
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
  elseif kept and tells_epoch and (is_new or now + span > y) then
    -- An epoch that was told must be the one that is found next time.
    save(head, o, f, u, x, y, e, earlier, span)
  end
end
return answer
