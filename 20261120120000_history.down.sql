-- Goes back to lists without times. Deleted games are as they were before their deletion, snapshots are forgotten; versions
-- that they have kept stay.

CREATE OR REPLACE FUNCTION clawstore.commit_batch_v1(
    of_incarnation bigint, of_lane smallint, new_seq bigint, new_digest bigint,
    stores int[], scopes text[], keys text[], fences bigint[], bases bigint[],
    revisions bigint[], created_times bigint[], updated_times bigint[], texts text[],
    -- From here on, NULL if no row has any.
    nums bigint[], user_id_texts text[], metadata_texts text[],
    -- When the stored revision is superseded, for rows that keep it.
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
    today   date := (now() AT TIME ZONE 'UTC')::date;
    before  clawstore.lane;
    written int[];
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

    IF superseded_times IS NULL THEN
        WITH done AS (
            UPDATE clawstore.entry
            SET revision = wish.revision, created = wish.created, updated = wish.updated, value = wish.value,
                num = wish.num, user_ids = wish.user_ids::bigint[], metadata = wish.metadata
            FROM unnest(stores, scopes, keys, fences, bases, revisions, created_times, updated_times, texts, nums,
                        user_id_texts, metadata_texts) WITH ORDINALITY
                 AS wish (store, scope, key, fence, base, revision, created, updated, value, num, user_ids, metadata, n)
            WHERE entry.store = wish.store AND entry.scope = wish.scope COLLATE "C" AND entry.key = wish.key COLLATE "C"
              AND entry.fence = wish.fence AND entry.revision = wish.base AND entry.mode = 0
            RETURNING wish.n::int AS n, entry.wanted
        )
        SELECT array_agg(done.n), array_agg(done.n) FILTER (WHERE done.wanted IS NOT NULL)
        INTO written, wanted_rows
        FROM done;
    ELSE
        -- The same, with the row as it was. The statement began when this lane had the key to itself: what it sees under
        -- the fence and the base that hold is what it overwrites.
        WITH done AS (
            UPDATE clawstore.entry
            SET revision = wish.revision, created = wish.created, updated = wish.updated, value = wish.value,
                num = wish.num, user_ids = wish.user_ids::bigint[], metadata = wish.metadata
            FROM unnest(stores, scopes, keys, fences, bases, revisions, created_times, updated_times, texts, nums,
                        user_id_texts, metadata_texts, superseded_times) WITH ORDINALITY
                 AS wish (store, scope, key, fence, base, revision, created, updated, value, num, user_ids, metadata,
                          superseded, n)
            LEFT JOIN clawstore.entry AS old
              ON wish.superseded IS NOT NULL AND old.revision > 0 AND old.revision = wish.base
             AND old.store = wish.store AND old.scope = wish.scope COLLATE "C" AND old.key = wish.key COLLATE "C"
            WHERE entry.store = wish.store AND entry.scope = wish.scope COLLATE "C" AND entry.key = wish.key COLLATE "C"
              AND entry.fence = wish.fence AND entry.revision = wish.base AND entry.mode = 0
            RETURNING wish.n::int AS n, entry.wanted, wish.superseded,
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
        SELECT array_agg(done.n), array_agg(done.n) FILTER (WHERE done.wanted IS NOT NULL)
        INTO written, wanted_rows
        FROM done;
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
END
$$;

DROP INDEX clawstore.entry_removed;
ALTER TABLE clawstore.entry DROP COLUMN removed;

-- A key that was removed, expired and written anew on one day has the same revisions again: the newer ones stay.
DELETE FROM clawstore.version
USING clawstore.version AS newer
WHERE newer.store = version.store AND newer.scope = version.scope AND newer.key = version.key
  AND newer.revision = version.revision AND newer.day = version.day AND newer.updated > version.updated;
ALTER TABLE clawstore.version DROP CONSTRAINT version_pkey;
ALTER TABLE clawstore.version ADD PRIMARY KEY (store, scope, key, revision, day);

ALTER TABLE clawstore.store DROP COLUMN created, DROP COLUMN updated;
ALTER TABLE clawstore.game DROP COLUMN snapshot, DROP COLUMN deleted;
