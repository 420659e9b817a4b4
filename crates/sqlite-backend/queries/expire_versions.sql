-- Versions of any store that were superseded before a time, oldest first, with the size of their values.
SELECT id, octet_length(value) FROM version WHERE superseded < ?1 ORDER BY superseded LIMIT ?2
