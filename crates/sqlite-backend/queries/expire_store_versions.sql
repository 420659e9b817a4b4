-- Versions of a store that were superseded before a time, oldest first, with the size of their values.
SELECT id, octet_length(value) FROM version WHERE store = ?1 AND superseded < ?2 ORDER BY superseded LIMIT ?3
