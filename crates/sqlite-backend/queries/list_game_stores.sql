-- Standard stores of a game between two names, neither included, that hold a live key or a tombstone of a time or later.
SELECT name, created, updated
FROM store
WHERE game = (SELECT id FROM game WHERE external_id = ?1) AND kind = 'standard' AND name > ?2 AND name < ?3
  AND EXISTS (
      SELECT 1 FROM entry WHERE entry.store = store.id AND (entry.value IS NOT NULL OR entry.updated >= ?4)
  )
ORDER BY name
LIMIT ?5
