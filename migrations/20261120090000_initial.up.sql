-- Games, stores, entries with their leases, superseded versions, incarnations and lanes.
--
-- Text is compared by bytes (COLLATE "C"). Times are ticks of 100 ns since 1970-01-01 UTC, as the servers' clocks gave
-- them: they label versions and decide nothing. The schema itself is made before the first migration, for it holds the
-- table of migrations.

CREATE TABLE clawstore.game (
    id          int PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    -- A UUID or a decimal number, as `--game` takes it.
    external_id text COLLATE "C" NOT NULL UNIQUE
);

-- Made by the first acquisition of a key. Never deleted: servers remember the ids.
CREATE TABLE clawstore.store (
    id   int PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    game int NOT NULL REFERENCES clawstore.game (id),
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('standard', 'ordered')),
    -- Empty for the global data store.
    name text COLLATE "C" NOT NULL,
    UNIQUE (game, kind, name)
);

-- One start of one server process. `state` only ever moves from alive to left or dead: those are final.
CREATE TABLE clawstore.incarnation (
    id     bigint PRIMARY KEY,
    -- What operators know the server by. Decides nothing.
    server text NOT NULL,
    state  text COLLATE "C" NOT NULL DEFAULT 'alive' CHECK (state IN ('alive', 'left', 'dead')),
    -- Grows while the server lives. Others watch it move; nobody compares it with a clock.
    beats  bigint NOT NULL DEFAULT 0,
    -- When it left or was declared dead; only for removing rows that nobody asks for any more.
    ended  timestamptz
) WITH (fillfactor = 50);

CREATE INDEX incarnation_alive ON clawstore.incarnation (id) WHERE state = 'alive';

-- One stream of batches of an incarnation, with the answer to its last batch. Kept for a day after the incarnation
-- ended: a batch on its way may still ask what became of it. No foreign key: its check would lock the incarnation.
CREATE TABLE clawstore.lane (
    incarnation bigint NOT NULL,
    lane        smallint NOT NULL,
    -- Number of the last batch that committed.
    seq         bigint NOT NULL DEFAULT 0,
    digest      bigint,
    -- Rows of that batch, counted from 1, that were fenced, and that others want; NULL for none. All others committed.
    fenced      int[],
    wanted      int[],
    -- How often the answer was asked for again: such an answer commits too, behind whatever it tells about.
    bumps       bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (incarnation, lane)
) WITH (fillfactor = 20);

-- The newest revision of every key, with its lease. Columns of fixed width come first, so that no space is lost between.
-- Indexes name no column that an ordinary write or acquisition changes: those updates stay on their page (HOT).
CREATE TABLE clawstore.entry (
    -- Counts the writes. 0: acquired, but never written.
    revision  bigint NOT NULL DEFAULT 0,
    created   bigint NOT NULL DEFAULT 0,
    updated   bigint NOT NULL DEFAULT 0,
    -- The token of the last acquisition. Every write asks for it.
    fence     bigint,
    -- The incarnation that holds the lease. The key is free if there is none, or if that one is not alive.
    owner     bigint,
    -- Who asked for the key while it was held: the first one, as long as that one lives.
    wanted    bigint,
    -- Who must hear of it: the owner of then. A column of its own so that the index leaves `owner` alone.
    wanted_of bigint,
    -- The value as a number, for live rows of ordered stores.
    num       bigint,
    -- No foreign key: checking it would lock the row of the store with every new key.
    store     int NOT NULL,
    -- 0: held by lease. Others are for later.
    mode      smallint NOT NULL DEFAULT 0,
    scope     text COLLATE "C" NOT NULL,
    key       text COLLATE "C" NOT NULL,
    user_ids  bigint[],
    -- A JSON object, or NULL for none.
    metadata  text,
    -- The exact JSON text that was accepted; NULL for a tombstone and for a key that was never written.
    value     text COMPRESSION lz4,
    PRIMARY KEY (store, scope, key)
) WITH (fillfactor = 80);

CREATE INDEX entry_wanted ON clawstore.entry (wanted_of) WHERE wanted_of IS NOT NULL;
CREATE INDEX entry_ordered ON clawstore.entry (store, scope, num, key) WHERE num IS NOT NULL;

-- Revisions that were superseded, by the day (UTC, the database's clock) on which they were. There is no default
-- partition: it would have to be searched whenever another is made.
CREATE TABLE clawstore.version (
    revision   bigint NOT NULL,
    created    bigint NOT NULL,
    updated    bigint NOT NULL,
    -- When the next revision was accepted.
    superseded bigint NOT NULL,
    store      int NOT NULL,
    day        date NOT NULL,
    scope      text COLLATE "C" NOT NULL,
    key        text COLLATE "C" NOT NULL,
    user_ids   bigint[],
    metadata   text,
    value      text COMPRESSION lz4,
    PRIMARY KEY (store, scope, key, revision, day)
) PARTITION BY RANGE (day);

-- Makes the partitions of the coming 14 days and drops those that ended more than 30 days ago (the longest that versions
-- are kept). Runs with the rights of whoever ran the migrations, so that servers need none of their own. False: another
-- session is at it, or a lock was not to be had in 50 ms; what was done until then is kept, ask again.
CREATE FUNCTION clawstore.maintain_versions() RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '50ms'
AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    day   date;
    name  text;
BEGIN
    IF NOT pg_try_advisory_xact_lock('clawstore.version'::regclass::oid::bigint) THEN
        RETURN false;
    END IF;
    FOR ahead IN 0..14 LOOP
        day := today + ahead;
        name := 'version_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass('clawstore.' || name) IS NOT NULL;
        BEGIN
            -- Attached when it is ready: PARTITION OF would lock out the writers of versions meanwhile.
            EXECUTE format('CREATE TABLE clawstore.%I (LIKE clawstore.version INCLUDING ALL)', name);
            EXECUTE format(
                'ALTER TABLE clawstore.version ATTACH PARTITION clawstore.%I FOR VALUES FROM (%L) TO (%L)',
                name, day, day + 1
            );
        EXCEPTION WHEN lock_not_available THEN
            RETURN false;
        END;
    END LOOP;
    FOR name IN
        SELECT child.relname
        FROM pg_inherits
        JOIN pg_class AS child ON child.oid = pg_inherits.inhrelid
        WHERE pg_inherits.inhparent = 'clawstore.version'::regclass
          AND child.relname < 'version_' || to_char(today - 31, 'YYYYMMDD')
        ORDER BY child.relname
    LOOP
        BEGIN
            EXECUTE format('DROP TABLE clawstore.%I', name);
        EXCEPTION WHEN lock_not_available THEN
            RETURN false;
        END;
    END LOOP;
    RETURN true;
END
$$;

REVOKE ALL ON FUNCTION clawstore.maintain_versions() FROM PUBLIC;

SELECT clawstore.maintain_versions();

-- Commits one batch of one lane, all in one statement of the caller: rows whose fence and base still hold are written,
-- superseded revisions are kept where the row says so, and the lane row remembers the number, the digest and the answer.
-- Rows come in the order of (store, scope, key), each key once: that is the order in which they are locked.
--
-- `state` is `committed`, or `replayed` for a batch that committed before (I7: nothing is applied, the answer is the first
-- one, and this transaction commits behind that of the batch), or why nothing was done: `other digest`, `out of order`
-- (`have` is the number that the lane has reached), `no lane`. Rows in the answer are counted from 1.
--
-- The number in its name grows with every change of what it takes or gives. The one before stays for one more migration,
-- because servers of the release before still call it.
CREATE FUNCTION clawstore.commit_batch_v1(
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

-- The text as jsonb; NULL where that type refuses what JSON allows, such as \u0000 or a number beyond its range.
CREATE FUNCTION clawstore.jsonb_or_null(json text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN json::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN NULL;
END
$$;

CREATE FUNCTION clawstore.time_of(ticks bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT
RETURN timestamptz 'epoch' + (ticks / 10) * interval '1 microsecond';

-- For operators. Not read by Clawstore. Filter by game, store, scope and key: that is what the index knows.
CREATE VIEW clawstore.entries AS
SELECT game.external_id                           AS game,
       store.kind,
       store.name                                 AS store,
       entry.scope,
       entry.key,
       entry.revision,
       clawstore.time_of(entry.created)           AS created,
       clawstore.time_of(entry.updated)           AS updated,
       entry.value IS NULL                        AS removed,
       entry.user_ids,
       entry.metadata,
       entry.value,
       clawstore.jsonb_or_null(entry.value)       AS value_jsonb,
       owner.server                               AS owner,
       owner.state                                AS owner_state
FROM clawstore.entry
JOIN clawstore.store ON store.id = entry.store
JOIN clawstore.game ON game.id = store.game
LEFT JOIN clawstore.incarnation AS owner ON owner.id = entry.owner
-- A key that was acquired and never written does not exist for anybody.
WHERE entry.revision > 0;

COMMENT ON VIEW clawstore.entries IS 'What is stored, for people. value_jsonb is NULL where jsonb cannot hold the value.';
