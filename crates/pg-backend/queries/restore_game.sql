-- Takes the deletion of a game back.
UPDATE clawstore.game SET deleted = NULL WHERE external_id = $1 AND deleted IS NOT NULL
