-- Deletes one kept version of a key.
DELETE FROM version
WHERE store = ?1 AND scope = ?2 AND key = ?3 AND updated = ?4 AND revision = ?5 AND created = ?6
