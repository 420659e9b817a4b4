-- Makes a store of a known game and gives its id.
INSERT INTO store (game, kind, name) SELECT id, ?2, ?3 FROM game WHERE external_id = ?1 RETURNING id
