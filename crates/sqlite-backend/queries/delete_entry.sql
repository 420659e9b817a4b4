-- Deletes an entry for good.
DELETE FROM entry WHERE id = ?1
