-- Deletes some versions that no read shows any more; one process at a time. Those of stores without a cutoff of their own are
-- dropped by the day, all at once (`maintain_versions`): deleting them a little earlier would only cost. For others, a day
-- that is not over by the cutoff may wait, because its rows would be read again and again to find a few.
--
-- $2 is now by the server's clock. $7: that is a simulation's; days say nothing then, and all versions of all stores are looked
-- at. Else nothing is deleted where it differs from the database's by a day: it would be deleted for everybody.
WITH clock AS MATERIALIZED (
    SELECT $7::boolean OR abs(extract(epoch FROM now()) * 10000000 - $2::bigint) < 864000000000 AS is_right
), turn AS MATERIALIZED (
    SELECT is_right AND pg_try_advisory_xact_lock('clawstore.entry'::regclass::oid::bigint) AS mine FROM clock
), wish AS MATERIALIZED (
    SELECT game.id AS game, wish.name COLLATE "C" AS name, wish.since
    FROM unnest($3::text[], $4::text[], $5::bigint[]) AS wish (game, name, since)
    JOIN clawstore.game ON game.external_id = wish.game COLLATE "C"
), shorter AS MATERIALIZED (
    SELECT store.id AS store, wish.since
    FROM wish
    JOIN clawstore.store ON store.game = wish.game AND store.kind = 'standard' AND store.name = wish.name
), cutoff AS MATERIALIZED (
    SELECT shorter.store, shorter.since,
           CASE WHEN NOT $7 THEN (timestamp 'epoch' + shorter.since / 10000000 * interval '1 s')::date
                ELSE 'infinity' END AS day
    FROM turn JOIN shorter ON turn.mine
    UNION ALL
    SELECT store.id, $1, 'infinity'
    FROM turn JOIN clawstore.store ON turn.mine AND $7
    WHERE NOT EXISTS (SELECT FROM shorter WHERE shorter.store = store.id)
), gone AS MATERIALIZED (
    SELECT version.store, version.scope, version.key, version.updated, version.day
    FROM cutoff
    JOIN clawstore.version
      ON version.store = cutoff.store AND version.day < cutoff.day AND version.superseded < cutoff.since
    LIMIT $6
), deleted AS (
    DELETE FROM clawstore.version
    USING gone
    WHERE version.store = gone.store AND version.scope = gone.scope AND version.key = gone.key
      AND version.updated = gone.updated AND version.day = gone.day
    RETURNING version.store
)
SELECT is_right AS "is_right!", (SELECT count(*) FROM deleted) AS "rows!" FROM clock
