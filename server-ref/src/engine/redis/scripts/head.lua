-- In front of every script: Redis' time, and the head of a log or map.
--
-- ARGV[1] is the generation of the Redis that the node is connected to, ARGV[2] the greatest epoch that the
-- node has seen. A head is a hash: e epoch, o offset, g the generation that wrote it, h earlier epochs with the
-- offset up to which their data survived; for logs also f the first offset that may be read, u when what is
-- kept expires, x when the stream does; y when the head itself does. Times are Unix milliseconds.
-- The keys outlive u and what was promised of y by an eighth, so that most calls need not set an expiry.
local generation, seen = ARGV[1], tonumber(ARGV[2])
local clock = redis.call('TIME')
local micros = clock[1] * 1000000 + clock[2]
local now = math.floor(micros / 1000)
local REMEMBERED = 8

-- The head under `key`. Another generation than the head's may have lost data: a new epoch begins above what
-- survived. Where there is no head there is no log either, whatever a stream says.
local function open(key, log)
  local e, o, g, f, u, x, y = unpack(redis.call('HMGET', key, 'e', 'o', 'g', 'f', 'u', 'x', 'y'))
  if e and g == generation then
    return e, tonumber(o), tonumber(f), tonumber(u), tonumber(x), tonumber(y)
  end
  local epoch = math.max(micros, seen + 1)
  if not e then
    if log then redis.call('DEL', log) end
    local text = string.format('%016.0f', epoch)
    redis.call('HSET', key, 'e', text, 'o', 0, 'g', generation, 'f', 1, 'u', 0, 'x', 0, 'y', 0)
    return text, 0, 1, 0, 0, 0
  end
  local top = tonumber(o)
  local earlier = { e .. ':' .. o }
  for before, offset in string.gmatch(redis.call('HGET', key, 'h') or '', '(%d+):(%d+)') do
    if #earlier == REMEMBERED then break end
    earlier[#earlier + 1] = before .. ':' .. string.format('%.0f', math.min(tonumber(offset), top))
  end
  local text = string.format('%016.0f', math.max(epoch, tonumber(e) + 1))
  redis.call('HSET', key, 'e', text, 'g', generation, 'h', table.concat(earlier, ' '))
  return text, top, tonumber(f), tonumber(u), tonumber(x), tonumber(y)
end

-- Keeps the head for `span` from now at least; `y` is until when it is kept so far.
local function keep(key, y, span)
  if now + span <= y then return end
  y = now + span + math.floor(span / 8)
  redis.call('HSET', key, 'y', y)
  redis.call('PEXPIREAT', key, y)
end
