-- Deletes some versions of a game.
WITH gone AS MATERIALIZED (
    SELECT version.store, version.scope, version.key, version.updated, version.day
    FROM clawstore.store
    JOIN clawstore.version ON version.store = store.id
    WHERE store.game = $1
    LIMIT $2
)
DELETE FROM clawstore.version
USING gone
WHERE version.store = gone.store AND version.scope = gone.scope AND version.key = gone.key
  AND version.updated = gone.updated AND version.day = gone.day
