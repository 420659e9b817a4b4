-- Deletes some keys of a game that nobody who is alive owns. As in `acquire_keys.sql`, what is concluded from a row holds only if
-- the row is the same when it is locked.
WITH seen AS MATERIALIZED (
    SELECT entry.store, entry.scope, entry.key, entry.owner, entry.fence
    FROM clawstore.store
    JOIN clawstore.entry ON entry.store = store.id
    WHERE store.game = $1
      AND NOT EXISTS (SELECT FROM clawstore.incarnation WHERE id = entry.owner AND state = 'alive')
    LIMIT $2
), locked AS MATERIALIZED (
    SELECT entry.store, entry.scope, entry.key
    FROM seen
    JOIN clawstore.entry ON entry.store = seen.store AND entry.scope = seen.scope AND entry.key = seen.key
    WHERE entry.owner IS NOT DISTINCT FROM seen.owner AND entry.fence IS NOT DISTINCT FROM seen.fence
    FOR UPDATE OF entry SKIP LOCKED
)
DELETE FROM clawstore.entry
USING locked
WHERE entry.store = locked.store AND entry.scope = locked.scope AND entry.key = locked.key
