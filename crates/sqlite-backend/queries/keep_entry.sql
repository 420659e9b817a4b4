-- Copies the stored revision of a key to the versions before it is overwritten. Copies nothing if it is not the base.
INSERT INTO version (store, scope, key, revision, created, updated, superseded, user_ids, metadata, value)
SELECT store, scope, key, revision, created, updated, ?5, user_ids, metadata, value
FROM entry
WHERE store = ?1 AND scope = ?2 AND key = ?3 AND revision = ?4
