-- The version of a key that was current at a time: the newest one that is not younger, if it was not superseded by then and is
-- still shown.
SELECT revision AS "revision!", created AS "created!", updated AS "updated!", user_ids, metadata, value
FROM (
    (
        SELECT revision, created, updated, user_ids, metadata, value, value IS NOT NULL OR updated >= $5 AS is_current
        FROM clawstore.entry
        WHERE store = $1 AND scope = $2 AND key = $3 AND updated <= $4 AND revision > 0
        UNION ALL
        (
            SELECT revision, created, updated, user_ids, metadata, value, superseded > $4 AND superseded >= $6
            FROM clawstore.version
            WHERE store = $1 AND scope = $2 AND key = $3 AND updated <= $4
            ORDER BY updated DESC
            LIMIT 1
        )
    )
    ORDER BY updated DESC
    LIMIT 1
) AS newest
WHERE is_current
