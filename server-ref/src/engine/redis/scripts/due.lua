-- Names of the maps in which a lease may have lapsed.
-- KEYS: the partition's due maps. ARGV: generation, seen, limit.
return call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[3])
