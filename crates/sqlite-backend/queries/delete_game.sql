-- Marks a game as deleted.
UPDATE game SET deleted = ?2 WHERE id = ?1
