-- The last snapshot of a known game.
UPDATE game SET snapshot = ?2 WHERE external_id = ?1
