-- Deletes entries of a game.
DELETE FROM entry
WHERE id IN (SELECT entry.id FROM store JOIN entry ON entry.store = store.id WHERE store.game = ?1 LIMIT ?2)
