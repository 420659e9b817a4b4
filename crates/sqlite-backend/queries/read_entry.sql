-- What is stored under one key.
SELECT revision, created, updated, user_ids, metadata, value
FROM entry
WHERE store = ?1 AND scope = ?2 AND key = ?3
