-- "I am alive". Need not survive a crash of the database, so its commit waits for nobody. A session that was opened again takes the
-- lock again by which others see that the process has its connection.
WITH hurried AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true) IS NOT NULL AND pg_try_advisory_lock($1) IS NOT NULL AS done
), beaten AS (
    UPDATE clawstore.incarnation SET beats = beats + 1 WHERE id = $1 AND state = 'alive' RETURNING id
), following AS (
    -- The next three in the order of ids; after the last comes the first.
    SELECT id FROM (
        (SELECT id, 0 AS round FROM clawstore.incarnation WHERE state = 'alive' AND id > $1 ORDER BY id LIMIT 3)
        UNION ALL
        (SELECT id, 1 FROM clawstore.incarnation WHERE state = 'alive' AND id < $1 ORDER BY id LIMIT 3)
    ) AS circle
    ORDER BY round, id
    LIMIT 3
), peer AS (
    SELECT incarnation.id, incarnation.beats
    FROM (SELECT id FROM following UNION SELECT unnest($2::bigint[])) AS watched
    JOIN clawstore.incarnation ON incarnation.id = watched.id
    WHERE incarnation.state = 'alive' AND incarnation.id <> $1
), wish AS (
    SELECT game.external_id AS game, store.kind, store.name, entry.scope, entry.key, entry.fence
    FROM clawstore.entry
    JOIN clawstore.store ON store.id = entry.store
    JOIN clawstore.game ON game.id = store.game
    WHERE entry.wanted_of = $1 AND entry.owner = $1
    LIMIT 1000
)
SELECT (SELECT done FROM hurried) AND EXISTS (SELECT FROM beaten) AS "alive!",
       ARRAY(SELECT id FROM peer ORDER BY id) AS "peers!",
       ARRAY(SELECT beats FROM peer ORDER BY id) AS "beats!",
       wanted.games AS "games!", wanted.kinds AS "kinds!", wanted.names AS "names!", wanted.scopes AS "scopes!",
       wanted.keys AS "keys!", wanted.fences AS "fences!",
       -- The number of the last batch of each lane that was asked about.
       ARRAY(
           SELECT lane.seq
           FROM unnest($3::bigint[], $4::smallint[]) WITH ORDINALITY AS asked (incarnation, lane, n)
           LEFT JOIN clawstore.lane ON lane.incarnation = asked.incarnation AND lane.lane = asked.lane
           ORDER BY asked.n
       ) AS "lanes!: Vec<Option<i64>>",
       -- It goes up with every promotion of a standby. The first digits of the name of the file that the log has reached.
       ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int AS "timeline!",
       current_setting('synchronous_standby_names') <> '' AS "waits_for_standby!"
FROM (
    SELECT coalesce(array_agg(game), '{}') AS games, coalesce(array_agg(kind), '{}') AS kinds,
           coalesce(array_agg(name), '{}') AS names, coalesce(array_agg(scope), '{}') AS scopes,
           coalesce(array_agg(key), '{}') AS keys, coalesce(array_agg(fence), '{}') AS fences
    FROM wish
) AS wanted
