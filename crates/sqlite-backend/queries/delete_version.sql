-- Deletes a version for good.
DELETE FROM version WHERE id = ?1
