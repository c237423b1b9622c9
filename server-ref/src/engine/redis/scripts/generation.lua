-- Behind head.lua, in front of the scripts that give or judge positions: a Redis that took over the data of
-- another one meanwhile, and was promoted again, is the same process behind the same socket. Its replication id
-- has changed; the node learns the new generation first, on another connection.
local history = 'master_replid:' .. string.sub(generation, 11)
if not string.find(call('INFO', 'replication'), history, 1, true) then
  return redis.error_reply('GENERATION the data has another history than this connection was opened for')
end
