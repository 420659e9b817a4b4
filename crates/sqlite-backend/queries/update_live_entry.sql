-- The next revision of a live key of a standard store, which has no number and is not removed. Names neither column: SQLite would
-- open the index of each. Changes no row for the reasons of `update_entry.sql`, and if the key is removed.
UPDATE entry
SET revision = ?4, created = ?5, updated = ?6, user_ids = ?7, metadata = ?8, value = ?9
WHERE store = ?1 AND scope = ?2 AND key = ?3 AND revision = ?10 AND updated > ?11 AND removed IS NULL AND num IS NULL
