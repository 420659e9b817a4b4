-- One revision of a key: the stored one, or one that is kept.
SELECT revision, created, updated, user_ids, metadata, value
FROM entry
WHERE store = ?1 AND scope = ?2 AND key = ?3 AND revision = ?4
UNION ALL
SELECT revision, created, updated, user_ids, metadata, value
FROM version
WHERE store = ?1 AND scope = ?2 AND key = ?3 AND revision = ?4
