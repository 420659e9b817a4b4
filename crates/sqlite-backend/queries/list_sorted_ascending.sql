-- Live entries of an ordered store and scope behind a number and key, up to another number, smallest first.
SELECT key, num, value
FROM entry
WHERE store = ?1 AND scope = ?2 AND (num, key) > (?3, ?4) AND num <= ?5 AND num IS NOT NULL
ORDER BY num, key
LIMIT ?6
