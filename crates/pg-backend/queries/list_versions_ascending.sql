-- The stored version of a key and those that are kept, oldest first, between two times, both included, each if it is still shown.
(
    SELECT revision AS "revision!", created AS "created!", updated AS "updated!", value IS NULL AS "is_deleted!"
    FROM clawstore.entry
    WHERE store = $1 AND scope = $2 AND key = $3 AND updated BETWEEN $4 AND $5 AND revision > 0
      AND (value IS NOT NULL OR updated >= $6)
    UNION ALL
    (
        SELECT revision, created, updated, value IS NULL
        FROM clawstore.version
        WHERE store = $1 AND scope = $2 AND key = $3 AND updated BETWEEN $4 AND $5 AND superseded >= $7
        ORDER BY updated
        LIMIT $8
    )
)
ORDER BY 3
LIMIT $8
