-- The revision of a key that was written at a time: the stored one, if it is live or a tombstone that is kept (?5), or a
-- version that is kept (?6).
SELECT revision, created, updated, user_ids, metadata, value
FROM entry
WHERE store = ?1 AND scope = ?2 AND key = ?3 AND updated = ?4 AND (value IS NOT NULL OR updated >= ?5)
UNION ALL
SELECT revision, created, updated, user_ids, metadata, value
FROM version
WHERE store = ?1 AND scope = ?2 AND key = ?3 AND updated = ?4 AND superseded >= ?6
