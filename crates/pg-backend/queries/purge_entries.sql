-- Deletes some keys of a game that nobody who is alive owns, store after store from the store $3 on; says how many, and of which
-- store the last one was. As in `acquire_keys.sql`, what is concluded from a row holds only if the row is the same when it is
-- locked.
WITH stores AS MATERIALIZED (
    SELECT id FROM clawstore.store WHERE game = $1 AND (id >= $3) IS TRUE
), seen AS MATERIALIZED (
    SELECT entry.store, entry.scope, entry.key, entry.owner, entry.fence
    FROM (SELECT id FROM stores ORDER BY id) AS store
    CROSS JOIN LATERAL (
        SELECT entry.store, entry.scope, entry.key, entry.owner, entry.fence
        FROM clawstore.entry
        WHERE entry.store = store.id
          AND NOT EXISTS (SELECT FROM clawstore.incarnation WHERE id = entry.owner AND state = 'alive')
        LIMIT $2
    ) AS entry
    LIMIT $2
), locked AS MATERIALIZED (
    SELECT entry.store, entry.scope, entry.key
    FROM seen
    JOIN clawstore.entry ON entry.store = seen.store AND entry.scope = seen.scope AND entry.key = seen.key
    WHERE entry.owner IS NOT DISTINCT FROM seen.owner AND entry.fence IS NOT DISTINCT FROM seen.fence
    FOR UPDATE OF entry SKIP LOCKED
), deleted AS (
    DELETE FROM clawstore.entry
    USING locked
    WHERE entry.store = locked.store AND entry.scope = locked.scope AND entry.key = locked.key
    RETURNING entry.store
)
SELECT count(*) AS "rows!", max(store) AS last FROM deleted
