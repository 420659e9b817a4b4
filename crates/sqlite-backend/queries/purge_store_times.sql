-- The stores of a game have never been written to.
UPDATE store SET created = NULL, updated = NULL WHERE game = ?1
