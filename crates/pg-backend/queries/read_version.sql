-- One revision of a key: the stored one, or one that is kept. A key that was acquired and never written has none.
SELECT revision AS "revision!", created AS "created!", updated AS "updated!", user_ids, metadata, value
FROM clawstore.entry
WHERE store = $1 AND scope = $2 AND key = $3 AND revision = $4 AND revision > 0
UNION ALL
SELECT revision, created, updated, user_ids, metadata, value
FROM clawstore.version
WHERE store = $1 AND scope = $2 AND key = $3 AND revision = $4
