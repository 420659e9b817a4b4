-- The id of a store, if anything was ever written to it.
SELECT store.id
FROM game
JOIN store ON store.game = game.id
WHERE game.external_id = ?1 AND store.kind = ?2 AND store.name = ?3
