-- Keys of a store between two places, neither included, by scope and key in byte order: live, or removed at a time or later.
SELECT scope, key, value IS NULL AS "is_deleted!"
FROM clawstore.entry
WHERE store = $1 AND (scope, key) > ($2, $3) AND (scope, key) < ($4, $5)
  -- A key that was acquired and never written does not exist.
  AND revision > 0 AND (value IS NOT NULL OR updated >= $6)
ORDER BY scope, key
LIMIT $7
