-- A game and whether it is marked as deleted, until the transaction ends.
SELECT id, deleted FROM clawstore.game WHERE external_id = $1 FOR NO KEY UPDATE
