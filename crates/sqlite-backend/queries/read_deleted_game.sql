-- A game that is marked as deleted.
SELECT id FROM game WHERE external_id = ?1 AND deleted IS NOT NULL
