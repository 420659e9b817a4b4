-- A revision that was superseded within one batch, so that it never was in the entry table.
INSERT INTO version (store, scope, key, revision, created, updated, user_ids, metadata, value, superseded)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
