-- In front of every script: Redis' time, and the head of a log or map.
--
-- ARGV[1] is the generation of the Redis that the node is connected to, ARGV[2] the greatest epoch that the
-- node has seen. A head is a string: five doubles (offset; for logs the first offset that may be read, when
-- what is kept expires, when the stream does; when the head itself does), the generation that wrote it, the
-- epoch, and earlier epochs: 'epoch:offset' with the offset up to which their data survived, 'epoch:offset/seen'
-- where it is known that there was more. Times are Unix milliseconds. One string is read and written at half
-- the cost of a hash.
-- The keys outlive what was promised of them by an eighth, so that most calls need not set an expiry.
local call = redis.call
local generation, seen = ARGV[1], tonumber(ARGV[2])
local clock = call('TIME')
local micros = clock[1] * 1000000 + clock[2]
local now = math.floor(micros / 1000)
local REMEMBERED = 8

-- The head under `key`: offset, first, until, stream's expiry, own expiry, epoch, earlier epochs, and whether
-- it has to be saved. Another generation than the head's may have lost data: a new epoch begins above what
-- survived. Where there is no head there is no log either, whatever a stream says.
local function open(key, log)
  local head = call('GET', key)
  local epoch = math.max(micros, seen + 1)
  if not head then
    if log then call('DEL', log) end
    return 0, 1, 0, 0, 0, string.format('%016.0f', epoch), '', true
  end
  local o, f, u, x, y, g, e = struct.unpack('<dddddc20c16', head)
  local earlier = string.sub(head, 77)
  if g == generation then return o, f, u, x, y, e, earlier, false end
  local all = { e .. ':' .. string.format('%.0f', o) }
  for before, offset, seen_up_to in string.gmatch(earlier, '(%d+):(%d+)/?(%d*)') do
    if #all == REMEMBERED then break end
    local top = math.min(tonumber(offset), o)
    local most = math.max(tonumber(offset), tonumber(seen_up_to) or 0)
    all[#all + 1] = before .. ':' .. string.format(most > top and '%.0f/%.0f' or '%.0f', top, most)
  end
  local text = string.format('%016.0f', math.max(epoch, tonumber(e) + 1))
  return o, f, u, x, y, text, table.concat(all, ' '), true
end

-- Writes the head, and keeps it for `span` from now at least.
local function save(key, o, f, u, x, y, e, earlier, span)
  if now + span <= y then
    call('SET', key, struct.pack('<ddddd', o, f, u, x, y) .. generation .. e .. earlier, 'KEEPTTL')
  else
    y = now + span + math.floor(span / 8)
    call('SET', key, struct.pack('<ddddd', o, f, u, x, y) .. generation .. e .. earlier, 'PXAT', y)
  end
end
