-- Sharing: keys that nobody owns and all servers write.
--
-- Columns are added without a value in the rows that are there. For the index of shared keys, all of `entry` is looked through
-- once, while writes wait: seconds with some million keys. A server of the release before goes on with `commit_batch_v1`.

-- `entry.mode` is 1 for a key that is shared. It has no owner, and one fence that all servers know: each write of a state
-- names the revision that it has seen, as every write does, and the first one wins. Sums are added to whatever is there.

ALTER TABLE clawstore.lane
    -- What the sums of the last batch were added to; NULL for none. Five numbers for each: its row, counted from 1, and the
    -- revision, `created`, `updated` and number that were stored.
    ADD COLUMN added bigint[];

-- As `commit_batch_v1`, and: writes shared keys, whose fence is as good as an owner's, and adds sums to them. A row with a
-- `least_number` is a sum: its columns are what so many increments would make of a key that was never written, and what is
-- stored becomes what they make of that. If it does not fit (not a whole number, or one out of range; not a shared key; a
-- version to be kept), the row is fenced, and its calls are made one by one on the state.
CREATE FUNCTION clawstore.commit_batch_v2(
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
    -- For rows that are sums: the least and the greatest number that they may be added to.
    least_numbers bigint[], greatest_numbers bigint[],
    OUT state text, OUT have bigint, OUT fenced_rows int[], OUT wanted_rows int[], OUT added_rows bigint[]
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    minute constant bigint := 600000000;
    skew   constant bigint := 50000000;
    hour   constant bigint := 36000000000;
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
    summed          int[];
    newest_sum      bigint;
BEGIN
    -- Waits while an earlier attempt at this very batch still hangs in its commit.
    UPDATE clawstore.lane
    SET seq = new_seq, digest = new_digest, fenced = NULL, wanted = NULL, added = NULL
    WHERE incarnation = of_incarnation AND lane = of_lane AND seq = new_seq - 1;
    IF NOT FOUND THEN
        UPDATE clawstore.lane
        SET bumps = bumps + 1
        WHERE incarnation = of_incarnation AND lane = of_lane AND seq = new_seq AND digest = new_digest
        RETURNING 'replayed', seq, fenced, wanted, added INTO state, have, fenced_rows, wanted_rows, added_rows;
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

    IF least_numbers IS NOT NULL THEN
        -- All rows that others may write at the same time, in the order in which every batch locks them; what follows sees
        -- what they have written.
        PERFORM
        FROM unnest(stores, scopes, keys) WITH ORDINALITY AS wish (store, scope, key, n)
        JOIN clawstore.entry
          ON entry.store = wish.store AND entry.scope = wish.scope COLLATE "C" AND entry.key = wish.key COLLATE "C"
        -- So written that it is not answered from the index of shared keys: one place for each row.
        WHERE entry.mode <> 0
        ORDER BY wish.n
        FOR NO KEY UPDATE OF entry;

        WITH stored AS MATERIALIZED (
            SELECT wish.*, entry.revision, entry.created, entry.updated,
                   greatest(wish.at, entry.updated + wish.calls) AS now_updated,
                   CASE WHEN entry.value ~ '^-?[0-9]{1,18}$' THEN entry.value::bigint END AS number
            FROM unnest(stores, scopes, keys, fences, revisions, updated_times, texts, user_id_texts, metadata_texts,
                        least_numbers, greatest_numbers) WITH ORDINALITY
                 AS wish (store, scope, key, fence, calls, at, sum, user_ids, metadata, least, most, n)
            JOIN clawstore.entry
              ON entry.store = wish.store AND entry.scope = wish.scope COLLATE "C" AND entry.key = wish.key COLLATE "C"
            WHERE wish.least IS NOT NULL AND entry.fence = wish.fence AND entry.mode <> 0
        ), done AS (
            UPDATE clawstore.entry
            SET revision = entry.revision + stored.calls, updated = stored.now_updated,
                value = (stored.number + stored.sum::bigint)::text,
                num = CASE WHEN entry.num IS NOT NULL THEN stored.number + stored.sum::bigint END,
                user_ids = stored.user_ids::bigint[], metadata = stored.metadata
            FROM stored
            WHERE entry.store = stored.store AND entry.scope = stored.scope COLLATE "C"
              AND entry.key = stored.key COLLATE "C"
              AND stored.number BETWEEN stored.least AND stored.most
              -- What a version may have to be kept of is left to a write of the state, which sees to that.
              AND stored.updated / hour = stored.now_updated / hour
              AND (snapshots_end IS NULL OR stored.updated > snapshots_end)
            RETURNING stored.n, stored.revision, stored.created, stored.updated, stored.number, stored.now_updated
        )
        SELECT array_agg(done.n::int), max(done.now_updated),
               (SELECT array_agg(part.number)
                FROM (SELECT unnest(ARRAY[n, revision, created, updated, number]) AS number FROM done) AS part)
        INTO summed, newest_sum, added_rows
        FROM done;
    END IF;

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
              AND entry.fence = wish.fence AND entry.revision = wish.base
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
              AND entry.fence = wish.fence AND entry.revision = wish.base
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

    written := written || summed;
    newest := greatest(newest, newest_sum);
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
    IF fenced_rows IS NOT NULL OR wanted_rows IS NOT NULL OR added_rows IS NOT NULL THEN
        UPDATE clawstore.lane
        SET fenced = fenced_rows, wanted = wanted_rows, added = added_rows
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

-- Hand-over.

ALTER TABLE clawstore.incarnation
    -- It knows shared keys, and holds a lock by which others see that it has its connection. No key is shared while one is alive that
    -- does not: to that one such a key would be busy.
    ADD COLUMN shares boolean NOT NULL DEFAULT false;

-- Shared keys of a store, which end with the deletion of its game. There are few.
CREATE INDEX entry_shared ON clawstore.entry (store) WHERE mode = 1;
