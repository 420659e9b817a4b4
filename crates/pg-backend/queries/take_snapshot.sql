-- Takes a snapshot of a game, unless there is one of the same UTC day or later, and gives its time if it was taken.
--
-- $3: the time is that of a simulation. Else one that differs from the database's by more than 5 s is not taken: what is written
-- is kept up to 5 s after it, and no clock of a server may be further off. (Time in a caller's future would keep everything
-- until then; in the past, it would miss what was written since.)
WITH clock AS MATERIALIZED (
    SELECT $3::boolean OR abs(extract(epoch FROM now()) * 10000000 - $2::bigint) <= 50000000 AS is_right
), taken AS (
    INSERT INTO clawstore.game (external_id, snapshot)
    SELECT $1::text, $2 FROM clock WHERE is_right
    ON CONFLICT (external_id) DO UPDATE
    SET snapshot = excluded.snapshot
    WHERE game.snapshot IS NULL OR game.snapshot / 864000000000 < excluded.snapshot / 864000000000
    RETURNING snapshot
)
SELECT is_right AS "is_right!", (SELECT snapshot FROM taken) AS snapshot FROM clock
