-- Takes a snapshot of a game, unless there is one of the same UTC day or later. Gives a row if it was taken.
INSERT INTO clawstore.game (external_id, snapshot)
VALUES ($1, $2)
ON CONFLICT (external_id) DO UPDATE
SET snapshot = excluded.snapshot
WHERE game.snapshot IS NULL OR game.snapshot / 864000000000 < excluded.snapshot / 864000000000
RETURNING snapshot AS "snapshot!"
