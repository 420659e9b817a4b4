-- The stored revision of a key (a tombstone if it is kept, ?4) and the versions that are kept (?5), oldest first: between two
-- times, both included.
SELECT revision, created, updated, value IS NULL
FROM entry
WHERE store = ?1 AND scope = ?2 AND key = ?3 AND updated BETWEEN ?6 AND ?7 AND (value IS NOT NULL OR updated >= ?4)
UNION ALL
SELECT revision, created, updated, value IS NULL
FROM version
WHERE store = ?1 AND scope = ?2 AND key = ?3 AND updated BETWEEN ?6 AND ?7 AND superseded >= ?5
ORDER BY updated
LIMIT ?8
