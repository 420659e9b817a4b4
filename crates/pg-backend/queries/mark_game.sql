-- Marks a game as deleted.
UPDATE clawstore.game SET deleted = $2 WHERE id = $1
