-- Deletes versions of a store that were superseded before a time, oldest first.
DELETE FROM version
WHERE id IN (SELECT id FROM version WHERE store = ?1 AND superseded < ?2 ORDER BY superseded LIMIT ?3)
