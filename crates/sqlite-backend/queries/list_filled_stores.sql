-- Stores of a game that hold anything.
SELECT id
FROM store
WHERE game = ?1
  AND (EXISTS (SELECT 1 FROM version WHERE version.store = store.id)
       OR EXISTS (SELECT 1 FROM entry WHERE entry.store = store.id))
