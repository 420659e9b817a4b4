-- One version of a key by its whole id: the stored one, or one that is kept, each if it is still shown. A key that was acquired
-- and never written has none.
SELECT revision AS "revision!", created AS "created!", updated AS "updated!", user_ids, metadata, value
FROM clawstore.entry
WHERE store = $1 AND scope = $2 AND key = $3 AND updated = $4 AND revision = $5 AND created = $6 AND revision > 0
  AND (value IS NOT NULL OR updated >= $7)
UNION ALL
SELECT revision, created, updated, user_ids, metadata, value
FROM clawstore.version
WHERE store = $1 AND scope = $2 AND key = $3 AND updated = $4 AND revision = $5 AND created = $6 AND superseded >= $8
