-- A game: when it was deleted, and whether anything is stored for it.
SELECT id, deleted, EXISTS (SELECT 1 FROM store JOIN entry ON entry.store = store.id WHERE store.game = game.id)
FROM game
WHERE external_id = ?1
