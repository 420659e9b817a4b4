-- History: versions found by time, times of stores, tombstones that end, snapshots and deleted games.
--
-- `entry` and `version` are locked from the first statement to the end, and reads and writes of keys wait: `version` is given
-- another primary key, which takes minutes with tens of millions of versions, and removed keys and the times of stores are
-- looked for in all of `entry`. Calls fail or wait meanwhile; nothing that was acknowledged is lost, and nobody is taken for
-- dead, because beats touch neither table. With a large database, run it by itself (`clawstore migrate up`) in a quiet hour,
-- before servers of this release are started.
--
-- What takes long cannot come before `entry` is locked: tables are locked in the order in which a batch does, or batches and
-- this would wait for each other. Afterwards a server of the release before goes on with what it knows: its lists and its batches
-- mean what they did.

-- Before anything is done, so that nothing waits for the second one with the work of the first to lose.
LOCK TABLE clawstore.entry, clawstore.version IN ACCESS EXCLUSIVE MODE;

ALTER TABLE clawstore.entry
    -- When the key was removed; NULL for one that is not. -1 in ordered stores, where nobody asks for what is removed. An
    -- ordinary write leaves it NULL, and so stays on its page (HOT).
    ADD COLUMN removed bigint;

UPDATE clawstore.entry
SET removed = CASE store.kind WHEN 'ordered' THEN -1 ELSE entry.updated END
FROM clawstore.store
WHERE store.id = entry.store AND entry.value IS NULL AND entry.revision > 0;

CREATE INDEX entry_removed ON clawstore.entry (removed) WHERE removed IS NOT NULL;

-- The order of a key's versions is that of their times, as that of their revisions is: every question is one range of the key.
ALTER TABLE clawstore.version DROP CONSTRAINT version_pkey;
ALTER TABLE clawstore.version ADD PRIMARY KEY (store, scope, key, updated, day);

ALTER TABLE clawstore.store
    -- When it was first written to; NULL before. The game's purge ends it.
    ADD COLUMN created bigint,
    -- When it was last written to; at most a minute behind, so that batches seldom touch the row.
    ADD COLUMN updated bigint;

UPDATE clawstore.store
SET created = entry.first, updated = entry.last
FROM (
    SELECT store, min(created) AS first, max(updated) AS last FROM clawstore.entry WHERE revision > 0 GROUP BY store
) AS entry
WHERE entry.store = store.id;

ALTER TABLE clawstore.game
    -- What was written by then is kept as a version when it is overwritten.
    ADD COLUMN snapshot bigint,
    -- When it was marked as deleted.
    ADD COLUMN deleted  bigint;

CREATE INDEX game_snapshot ON clawstore.game (snapshot) WHERE snapshot IS NOT NULL;
CREATE INDEX game_deleted ON clawstore.game (id) WHERE deleted IS NOT NULL;

-- As before, and: says when rows were removed, keeps what belongs to a snapshot (what was written 5 s after it still does:
-- clocks of servers differ), and says when stores were written to.
CREATE OR REPLACE FUNCTION clawstore.commit_batch_v1(
    of_incarnation bigint, of_lane smallint, new_seq bigint, new_digest bigint,
    stores int[], scopes text[], keys text[], fences bigint[], bases bigint[],
    revisions bigint[], created_times bigint[], updated_times bigint[], texts text[],
    -- From here on, NULL if no row has any.
    nums bigint[], user_id_texts text[], metadata_texts text[],
    -- When the stored revision is superseded, for rows that keep it; -1 for rows that must not, whatever a snapshot wants.
    superseded_times bigint[],
    -- Revisions that were never stored: of which row, and all columns.
    kept_rows int[], kept_revisions bigint[], kept_created_times bigint[], kept_updated_times bigint[],
    kept_superseded_times bigint[], kept_texts text[], kept_user_id_texts text[], kept_metadata_texts text[],
    OUT state text, OUT have bigint, OUT fenced_rows int[], OUT wanted_rows int[]
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    minute constant bigint := 600000000;
    skew   constant bigint := 50000000;
    today           date := (now() AT TIME ZONE 'UTC')::date;
    before          clawstore.lane;
    -- What was written later belongs to no snapshot. NULL: no game has one.
    snapshots_end   bigint;
    -- By store, the time up to which what was written belongs to the snapshot of its game.
    snapshots       bigint[];
    -- What the store says that is the furthest behind.
    stores_updated  bigint;
    written         int[];
    newest          bigint;
    written_slowly  int[];
    wanted_slowly   int[];
    newest_slowly   bigint;
BEGIN
    -- Waits while an earlier attempt at this very batch still hangs in its commit.
    UPDATE clawstore.lane
    SET seq = new_seq, digest = new_digest, fenced = NULL, wanted = NULL
    WHERE incarnation = of_incarnation AND lane = of_lane AND seq = new_seq - 1;
    IF NOT FOUND THEN
        UPDATE clawstore.lane
        SET bumps = bumps + 1
        WHERE incarnation = of_incarnation AND lane = of_lane AND seq = new_seq AND digest = new_digest
        RETURNING 'replayed', seq, fenced, wanted INTO state, have, fenced_rows, wanted_rows;
        IF NOT FOUND THEN
            SELECT * INTO before FROM clawstore.lane WHERE incarnation = of_incarnation AND lane = of_lane;
            have := before.seq;
            state := CASE WHEN have IS NULL THEN 'no lane' WHEN have = new_seq THEN 'other digest' ELSE 'out of order' END;
        END IF;
        RETURN;
    END IF;

    SELECT (SELECT max(game.snapshot) FROM clawstore.game) + skew,
           (SELECT min(coalesce(store.updated, -minute)) FROM clawstore.store WHERE store.id = ANY (stores))
    INTO snapshots_end, stores_updated;

    IF superseded_times IS NULL THEN
        -- Leaves what may belong to a snapshot.
        WITH done AS (
            UPDATE clawstore.entry
            SET revision = wish.revision, created = wish.created, updated = wish.updated, value = wish.value,
                num = wish.num, user_ids = wish.user_ids::bigint[], metadata = wish.metadata,
                removed = CASE WHEN wish.value IS NULL THEN (
                    SELECT CASE store.kind WHEN 'ordered' THEN -1 ELSE wish.updated END
                    FROM clawstore.store
                    WHERE store.id = wish.store
                ) END
            FROM unnest(stores, scopes, keys, fences, bases, revisions, created_times, updated_times, texts, nums,
                        user_id_texts, metadata_texts) WITH ORDINALITY
                 AS wish (store, scope, key, fence, base, revision, created, updated, value, num, user_ids, metadata, n)
            WHERE entry.store = wish.store AND entry.scope = wish.scope COLLATE "C" AND entry.key = wish.key COLLATE "C"
              AND entry.fence = wish.fence AND entry.revision = wish.base AND entry.mode = 0
              AND (snapshots_end IS NULL OR entry.updated > snapshots_end OR entry.revision = 0)
            RETURNING wish.n::int AS n, entry.wanted, wish.updated
        )
        SELECT array_agg(done.n), array_agg(done.n) FILTER (WHERE done.wanted IS NOT NULL), max(done.updated)
        INTO written, wanted_rows, newest
        FROM done;
    END IF;

    IF superseded_times IS NOT NULL
       OR snapshots_end IS NOT NULL AND cardinality(stores) > coalesce(cardinality(written), 0) THEN
        IF snapshots_end IS NOT NULL THEN
            -- Ordered stores have no versions.
            snapshots := ARRAY(
                SELECT game.snapshot + skew
                FROM unnest(stores) WITH ORDINALITY AS wish (store, n)
                LEFT JOIN clawstore.store ON store.id = wish.store AND store.kind = 'standard'
                LEFT JOIN clawstore.game ON game.id = store.game
                ORDER BY wish.n
            );
        END IF;
        -- The same, with the row as it was. The statement began when this lane had the key to itself: what it sees under
        -- the fence and the base that hold is what it overwrites. What is written already has another revision by now.
        WITH done AS (
            UPDATE clawstore.entry
            SET revision = wish.revision, created = wish.created, updated = wish.updated, value = wish.value,
                num = wish.num, user_ids = wish.user_ids::bigint[], metadata = wish.metadata,
                removed = CASE WHEN wish.value IS NULL THEN (
                    SELECT CASE store.kind WHEN 'ordered' THEN -1 ELSE wish.updated END
                    FROM clawstore.store
                    WHERE store.id = wish.store
                ) END
            FROM unnest(stores, scopes, keys, fences, bases, revisions, created_times, updated_times, texts, nums,
                        user_id_texts, metadata_texts, superseded_times, snapshots) WITH ORDINALITY
                 AS wish (store, scope, key, fence, base, revision, created, updated, value, num, user_ids, metadata,
                          superseded, snapshot, n)
            LEFT JOIN clawstore.entry AS old
              ON old.revision > 0 AND old.revision = wish.base
             AND (wish.superseded >= 0 OR wish.superseded IS NULL AND old.updated <= wish.snapshot)
             AND old.store = wish.store AND old.scope = wish.scope COLLATE "C" AND old.key = wish.key COLLATE "C"
            WHERE entry.store = wish.store AND entry.scope = wish.scope COLLATE "C" AND entry.key = wish.key COLLATE "C"
              AND entry.fence = wish.fence AND entry.revision = wish.base AND entry.mode = 0
            RETURNING wish.n::int AS n, entry.wanted, wish.updated AS newest,
                      -- Of a row that a snapshot keeps, nobody said by what it is superseded.
                      CASE WHEN wish.superseded IS NOT NULL THEN wish.superseded
                           WHEN old.store IS NOT NULL THEN coalesce(
                               (SELECT min(next.updated) FROM unnest(kept_rows, kept_updated_times) AS next (n, updated)
                                WHERE next.n = wish.n),
                               wish.updated
                           )
                      END AS superseded,
                      old.store, old.scope, old.key, old.revision, old.created, old.updated, old.user_ids, old.metadata,
                      old.value
        ), kept AS (
            INSERT INTO clawstore.version
                (day, store, scope, key, revision, created, updated, superseded, user_ids, metadata, value)
            SELECT today, done.store, done.scope, done.key, done.revision, done.created, done.updated, done.superseded,
                   done.user_ids, done.metadata, done.value
            FROM done
            WHERE done.revision IS NOT NULL
        )
        SELECT array_agg(done.n), array_agg(done.n) FILTER (WHERE done.wanted IS NOT NULL), max(done.newest)
        INTO written_slowly, wanted_slowly, newest_slowly
        FROM done;
        written := written || written_slowly;
        wanted_rows := wanted_rows || wanted_slowly;
        newest := greatest(newest, newest_slowly);
    END IF;

    state := 'committed';
    have := new_seq;
    IF cardinality(stores) > coalesce(cardinality(written), 0) THEN
        fenced_rows := ARRAY(
            SELECT n FROM generate_series(1, cardinality(stores)) AS n EXCEPT SELECT unnest(written) ORDER BY n
        );
    END IF;
    IF kept_rows IS NOT NULL THEN
        INSERT INTO clawstore.version
            (day, store, scope, key, revision, created, updated, superseded, user_ids, metadata, value)
        SELECT today, stores[wish.n], scopes[wish.n], keys[wish.n], wish.revision, wish.created, wish.updated,
               wish.superseded, wish.user_ids::bigint[], wish.metadata, wish.value
        FROM unnest(kept_rows, kept_revisions, kept_created_times, kept_updated_times, kept_superseded_times, kept_texts,
                    kept_user_id_texts, kept_metadata_texts)
             AS wish (n, revision, created, updated, superseded, value, user_ids, metadata)
        WHERE fenced_rows IS NULL OR wish.n <> ALL (fenced_rows);
    END IF;
    IF fenced_rows IS NOT NULL OR wanted_rows IS NOT NULL THEN
        UPDATE clawstore.lane
        SET fenced = fenced_rows, wanted = wanted_rows
        WHERE incarnation = of_incarnation AND lane = of_lane;
    END IF;
    IF newest - minute >= stores_updated THEN
        -- Waits for nobody: whoever has the row locked says the same, or the next batch will.
        WITH wrote AS MATERIALIZED (
            SELECT wish.store, min(wish.created) AS first, max(wish.updated) AS last
            FROM unnest(stores, created_times, updated_times) WITH ORDINALITY AS wish (store, created, updated, n)
            WHERE fenced_rows IS NULL OR wish.n <> ALL (fenced_rows)
            GROUP BY wish.store
        ), behind AS MATERIALIZED (
            SELECT store.id, wrote.first, wrote.last
            FROM wrote
            JOIN clawstore.store ON store.id = wrote.store
            WHERE coalesce(store.updated, -minute) <= wrote.last - minute
            FOR NO KEY UPDATE OF store SKIP LOCKED
        )
        UPDATE clawstore.store
        SET created = coalesce(store.created, behind.first), updated = behind.last
        FROM behind
        WHERE store.id = behind.id;
    END IF;
END
$$;
