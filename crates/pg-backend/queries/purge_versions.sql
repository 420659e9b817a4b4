-- Deletes some versions of a game, store after store from the store $3 on; says how many, and of which store the last one was.
-- Looks from the stores of the game at their versions: those of other games are never read, nor are their stores (IS TRUE).
WITH stores AS MATERIALIZED (
    SELECT id FROM clawstore.store WHERE game = $1 AND (id >= $3) IS TRUE
), gone AS MATERIALIZED (
    SELECT version.store, version.scope, version.key, version.updated, version.day
    FROM (SELECT id FROM stores ORDER BY id) AS store
    CROSS JOIN LATERAL (
        SELECT version.store, version.scope, version.key, version.updated, version.day
        FROM clawstore.version
        WHERE version.store = store.id
        LIMIT $2
    ) AS version
    LIMIT $2
), deleted AS (
    DELETE FROM clawstore.version
    USING gone
    WHERE version.store = gone.store AND version.scope = gone.scope AND version.key = gone.key
      AND version.updated = gone.updated AND version.day = gone.day
    RETURNING version.store
)
SELECT count(*) AS "rows!", max(store) AS last FROM deleted
