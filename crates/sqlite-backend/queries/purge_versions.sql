-- Deletes versions of a game.
DELETE FROM version
WHERE id IN (SELECT version.id FROM store JOIN version ON version.store = store.id WHERE store.game = ?1 LIMIT ?2)
