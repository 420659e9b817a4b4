-- Live keys of a store and scope after a key, in byte order.
SELECT key
FROM clawstore.entry
WHERE store = $1 AND scope = $2 AND key > $3 AND value IS NOT NULL
ORDER BY key
LIMIT $4
