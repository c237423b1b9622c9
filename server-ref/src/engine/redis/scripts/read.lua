-- Reads a page of a log.
--
-- KEYS: head, log, what the reader owns. ARGV: generation, seen, meta_ttl, epoch and offset of the position behind which to read
-- (epoch '': from the oldest, in reverse from the newest), limit, 1 for reverse, 1 where the position is what a
-- node has heard itself and not what somebody claims, how much the reader may own (0: as much as it likes).
-- Answers: epoch, offset, reach (0 complete, 1 trimmed, 2 unknown), the stream's entries, and where the position
-- is of an earlier epoch that is remembered and cannot be read on from the offset up to which it stands.
local head, log = KEYS[1], KEYS[2]
local span, since_epoch, since, limit = tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local o, f, u, x, y, e, earlier, is_new = open(head, log)
local most = tonumber(ARGV[9])
if y == 0 and most > 0 and not own(KEYS[3], head, most, span) then
  return redis.error_reply('TOOMANY ' .. most)
end
if is_new or now + span > y then save(head, o, f, u, x, y, e, earlier, span) end
if now >= u then f = o + 1 end
if since_epoch == '' then
  since = nil
else
  local top = o
  if since_epoch ~= e then
    -- A position of an earlier epoch stands as far as that epoch's data survived; and one whose reader would
    -- pass a place where more is known to have been has to be told so. An epoch that is not remembered was lost
    -- with its Redis: it shares with this log what the epoch before it does.
    top = -1
    local is_lossy, is_heard = false, ARGV[8] == '1'
    for before, offset, seen_up_to in string.gmatch(earlier, '(%d+):(%d+)/?(%d*)') do
      is_lossy = is_lossy or seen_up_to ~= ''
      if before <= since_epoch then
        top = tonumber(offset)
        is_lossy = is_lossy or before ~= since_epoch
        if is_heard and since > top and since > (tonumber(seen_up_to) or 0) then
          local known = before .. ':' .. offset
          earlier = string.gsub(earlier, known .. '/?%d*', string.format('%s/%.0f', known, since), 1)
          save(head, o, f, u, x, y, e, earlier, span)
        end
        break
      end
    end
    if is_heard and since_epoch > e then
      -- The clock of the Redis that has begun this epoch was behind: a node never takes a smaller one.
      local lost = string.format('%s:%.0f/%.0f', since_epoch, math.max(top, 0), math.max(since, 0))
      earlier = string.format('%s %s:%.0f %s', lost, e, o, earlier)
      e = string.format('%016.0f', math.max(micros, seen + 1, tonumber(since_epoch) + 1))
      is_lossy = true
      save(head, o, f, u, x, y, e, earlier, span)
    end
    if top >= 0 and (since > top or is_lossy and ARGV[7] ~= '1') then return { e, o, 2, {}, math.min(since, top) } end
  end
  if since > top then return { e, o, 2, {} } end
end
if ARGV[7] == '1' then
  local before = since or o + 1
  if limit == 0 or before <= f then return { e, o, 0, {} } end
  return { e, o, 0, call('XREVRANGE', log, before - 1, f, 'COUNT', limit) }
end
local from = since and since + 1 or f
if from > o then return { e, o, 0, {} } end
local entries = call('XRANGE', log, math.max(from, f), '+', 'COUNT', math.max(limit, 1))
local first = entries[1] and tonumber(string.match(entries[1][1], '^%d+')) or o + 1
if limit == 0 then entries = {} end
return { e, o, (since and first > from) and 1 or 0, entries }
