-- The stored revision of a key and those that are kept, oldest first: between two revisions and, inclusively, two times.
SELECT revision, created, updated, value IS NULL
FROM entry
WHERE store = ?1 AND scope = ?2 AND key = ?3 AND revision > ?4 AND revision < ?5 AND updated BETWEEN ?6 AND ?7
UNION ALL
SELECT revision, created, updated, value IS NULL
FROM version
WHERE store = ?1 AND scope = ?2 AND key = ?3 AND revision > ?4 AND revision < ?5 AND updated BETWEEN ?6 AND ?7
ORDER BY revision
LIMIT ?8
