-- Between head.lua and append.lua: what a channel knows of its producers.
--
-- A record is a string under a key of its own: session and last number as doubles, then (epoch, offset, time) as
-- doubles, an id's length as a byte, and the id, of the last IDS publications, the oldest first. Epoch 0: the
-- channel kept nothing. As a record begins with number 1, it holds as many ids as its last number says, IDS at
-- most. It is written on every path but those that leave it as it was, so that it lives for as long as it is
-- used.
local IDS = 16
local HEADER, FIELDS = 16, 25

-- The answer to `id`, if the record has it: the text 'epoch offset time'.
local function answer_of(record, id)
  if not string.find(record, string.char(#id) .. id, HEADER + 1, true) then return nil end
  local at = HEADER + 1
  for _ = 1, IDS do
    if at > #record then return nil end
    local e, o, t, length = struct.unpack('<dddB', record, at)
    local from = at + FIELDS
    if string.sub(record, from, from + length - 1) == id then
      return string.format(e == 0 and '- %.0f %.0f' or '%016.0f %.0f %.0f', unpack(e == 0 and { o, t } or { e, o, t }))
    end
    at = from + length
  end
  return nil
end

-- What is to be answered to a stamp without an append; nil where it is the next one. Second, the record as it
-- is then; third, whether it has to be written.
local function judge(record, session, number, id)
  if not record then
    if number ~= 1 then return 'U', nil, false end
    return nil, struct.pack('<dd', session, 0), true
  end
  local seen_session, last = struct.unpack('<dd', record)
  if session < seen_session then return 'F', record, false end
  if session > seen_session then record = struct.pack('<dd', session, last) .. string.sub(record, HEADER + 1) end
  local first = answer_of(record, id)
  if first then return string.format('%s %.0f', first, last + 1), record, true end
  if number <= last then return string.format('T%.0f', last + 1), record, true end
  if number > last + 1 then return string.format('O%.0f', last + 1), record, true end
  return nil, record, true
end

-- The record behind an append.
local function with(record, number, id, e, o)
  local session, last = struct.unpack('<dd', record)
  local from = HEADER + 1
  if last >= IDS then from = from + FIELDS + string.byte(record, from + FIELDS - 1) end
  local added = struct.pack('<dddB', tonumber(e) or 0, o, now, #id) .. id
  return struct.pack('<dd', session, number) .. string.sub(record, from) .. added
end
