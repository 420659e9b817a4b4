-- Versions by time, history that ends, and what is done to whole games.

-- Versions of a key are found by when they were written: the unique key is by `updated` instead of `revision`. Times grow
-- with the revisions of a key, so the order is the same.
CREATE TABLE version_by_time (
    id         INTEGER PRIMARY KEY,
    store      INTEGER NOT NULL REFERENCES store (id),
    scope      TEXT NOT NULL,
    key        TEXT NOT NULL,
    revision   INTEGER NOT NULL,
    created    INTEGER NOT NULL,
    updated    INTEGER NOT NULL,
    -- When the next revision was written.
    superseded INTEGER NOT NULL,
    user_ids   TEXT,
    metadata   TEXT,
    value      TEXT,
    UNIQUE (store, scope, key, updated)
) STRICT;

INSERT INTO version_by_time (id, store, scope, key, revision, created, updated, superseded, user_ids, metadata, value)
SELECT id, store, scope, key, revision, created, updated, superseded, user_ids, metadata, value
FROM version
ORDER BY id;

DROP TABLE version;
ALTER TABLE version_by_time RENAME TO version;

-- Expiry: of all stores at once, and of those that keep their versions for a shorter time than others.
CREATE INDEX version_superseded ON version (superseded);
CREATE INDEX version_superseded_in_store ON version (store, superseded);

-- When a store was first and last written to; `updated` is at most a minute behind. NULL before the first write.
ALTER TABLE store ADD COLUMN created INTEGER;
ALTER TABLE store ADD COLUMN updated INTEGER;
UPDATE store
SET created = times.first, updated = times.last
FROM (SELECT store, min(created) AS first, max(updated) AS last FROM entry GROUP BY store) AS times
WHERE times.store = store.id;

-- Of a tombstone: when it was written, or -1 in an ordered store, which keeps none. NULL in live rows, whose writes so do not
-- touch the index.
ALTER TABLE entry ADD COLUMN removed INTEGER;
UPDATE entry
SET removed = CASE (SELECT kind FROM store WHERE store.id = entry.store) WHEN 'standard' THEN updated ELSE -1 END
WHERE value IS NULL;
CREATE INDEX entry_removed ON entry (removed) WHERE removed IS NOT NULL;

-- Rows of the game that were last written at this time (or shortly after) are kept when they are overwritten.
ALTER TABLE game ADD COLUMN snapshot INTEGER;
-- When the game was marked as deleted.
ALTER TABLE game ADD COLUMN deleted INTEGER;
