-- Deletes tombstones from before a time, and removed rows of ordered stores.
DELETE FROM entry
WHERE id IN (SELECT id FROM entry WHERE removed < ?1 ORDER BY removed LIMIT ?2)
RETURNING store, scope, key, revision
