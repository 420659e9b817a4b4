-- The next revision of a key. Changes no row if its base is not stored any more: somebody else wrote (I5); nor if the base
-- is of this time or before: a snapshot wants it.
UPDATE entry
SET revision = ?4, created = ?5, updated = ?6, user_ids = ?7, metadata = ?8, value = ?9, num = ?10, removed = ?11
WHERE store = ?1 AND scope = ?2 AND key = ?3 AND revision = ?12 AND updated > ?13
