-- The revision of a key that was current at a time (?4): the stored one, if it was there already and is live or a tombstone
-- that is kept (?5); else the newest version of that time or before, if it was superseded later and is kept (?6).
SELECT revision, created, updated, user_ids, metadata, value
FROM entry
WHERE store = ?1 AND scope = ?2 AND key = ?3 AND updated <= ?4 AND (value IS NOT NULL OR updated >= ?5)
UNION ALL
SELECT revision, created, updated, user_ids, metadata, value
FROM version
WHERE id = (
    SELECT id
    FROM version
    WHERE store = ?1 AND scope = ?2 AND key = ?3 AND updated <= ?4
    ORDER BY updated DESC
    LIMIT 1
) AND superseded > ?4 AND superseded >= ?6
