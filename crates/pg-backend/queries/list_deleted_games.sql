-- Games that are marked as deleted, with the time of it.
SELECT external_id AS game, deleted AS "deleted!" FROM clawstore.game WHERE deleted IS NOT NULL
