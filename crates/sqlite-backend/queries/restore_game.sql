-- Takes a deletion back.
UPDATE game SET deleted = NULL WHERE external_id = ?1 AND deleted IS NOT NULL
