-- When the last snapshot of a game was taken.
SELECT snapshot FROM clawstore.game WHERE external_id = $1
