-- Keys of a store between two places, neither included, in byte order; removed ones if their tombstone is of a time or later.
SELECT scope, key, value IS NULL
FROM entry
WHERE store = ?1 AND (scope, key) > (?2, ?3) AND (scope, key) < (?4, ?5) AND (value IS NOT NULL OR updated >= ?6)
ORDER BY scope, key
LIMIT ?7
