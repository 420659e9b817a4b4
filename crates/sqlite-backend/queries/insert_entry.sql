-- The first revision of a key. Changes no row if the key exists: somebody else wrote (I5).
INSERT INTO entry (store, scope, key, revision, created, updated, user_ids, metadata, value, num, removed)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
ON CONFLICT (store, scope, key) DO NOTHING
