-- Lets a game of which nothing is left be used anew. Its stores stay: servers remember their ids. Changes
-- nothing if something is left.
WITH emptied AS MATERIALIZED (
    SELECT game.id FROM clawstore.game
    WHERE game.id = $1 AND NOT EXISTS (
        SELECT FROM clawstore.store
        CROSS JOIN LATERAL (SELECT FROM clawstore.entry WHERE entry.store = store.id LIMIT 1) AS one
        WHERE store.game = $1
    ) AND NOT EXISTS (
        SELECT FROM clawstore.store
        CROSS JOIN LATERAL (SELECT FROM clawstore.version WHERE version.store = store.id LIMIT 1) AS one
        WHERE store.game = $1
    )
), stores AS (
    UPDATE clawstore.store SET created = NULL, updated = NULL FROM emptied WHERE store.game = emptied.id
)
UPDATE clawstore.game SET deleted = NULL, snapshot = NULL FROM emptied WHERE game.id = emptied.id
