-- Makes games known. Nothing for those that are.
INSERT INTO clawstore.game (external_id)
SELECT DISTINCT wish.game
FROM unnest($1::text[]) AS wish (game)
WHERE NOT EXISTS (SELECT FROM clawstore.game WHERE game.external_id = wish.game COLLATE "C")
ORDER BY wish.game
ON CONFLICT (external_id) DO NOTHING
