-- Makes stores of known games. Nothing for those that exist.
WITH known AS MATERIALIZED (
    SELECT DISTINCT game.id AS game, wish.kind COLLATE "C" AS kind, wish.name COLLATE "C" AS name
    FROM unnest($1::text[], $2::text[], $3::text[]) AS wish (game, kind, name)
    JOIN clawstore.game ON game.external_id = wish.game COLLATE "C"
)
INSERT INTO clawstore.store (game, kind, name)
SELECT known.game, known.kind, known.name
FROM known
WHERE NOT EXISTS (
    SELECT FROM clawstore.store
    WHERE store.game = known.game AND store.kind = known.kind AND store.name = known.name
)
-- Those who make the same stores make them in the same order.
ORDER BY known.game, known.kind, known.name
ON CONFLICT (game, kind, name) DO NOTHING
