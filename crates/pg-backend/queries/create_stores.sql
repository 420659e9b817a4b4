-- Makes stores of known games. Nothing for those that exist.
INSERT INTO clawstore.store (game, kind, name)
SELECT DISTINCT game.id, wish.kind, wish.name
FROM unnest($1::text[], $2::text[], $3::text[]) AS wish (game, kind, name)
JOIN clawstore.game ON game.external_id = wish.game COLLATE "C"
WHERE NOT EXISTS (
    SELECT FROM clawstore.store
    WHERE store.game = game.id AND store.kind = wish.kind COLLATE "C" AND store.name = wish.name COLLATE "C"
)
ORDER BY game.id, wish.kind, wish.name
ON CONFLICT (game, kind, name) DO NOTHING
