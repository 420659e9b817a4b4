-- Versions of a store, with the size of their values.
SELECT id, octet_length(value) FROM version WHERE store = ?1 LIMIT ?2
