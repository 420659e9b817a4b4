-- Nothing was ever done to a game.
UPDATE game SET snapshot = NULL, deleted = NULL WHERE id = ?1
