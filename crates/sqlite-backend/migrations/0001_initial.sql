-- Games, stores, entries and superseded versions.
--
-- Ordinary rowid tables with a unique index beside them: WITHOUT ROWID is three times slower for rows of this size.
-- Text is compared BINARY (the default), which is byte order. Times are ticks of 100 ns since 1970-01-01 UTC.

CREATE TABLE game (
    id          INTEGER PRIMARY KEY,
    -- A UUID or a decimal number, as `--game` takes it.
    external_id TEXT NOT NULL UNIQUE
) STRICT;

-- Made by the first write. Never deleted: both writer and readers remember the ids.
CREATE TABLE store (
    id   INTEGER PRIMARY KEY,
    game INTEGER NOT NULL REFERENCES game (id),
    kind TEXT NOT NULL CHECK (kind IN ('standard', 'ordered')),
    -- Empty for the global data store.
    name TEXT NOT NULL,
    UNIQUE (game, kind, name)
) STRICT;

CREATE TABLE entry (
    id       INTEGER PRIMARY KEY,
    store    INTEGER NOT NULL REFERENCES store (id),
    scope    TEXT NOT NULL,
    key      TEXT NOT NULL,
    revision INTEGER NOT NULL CHECK (revision > 0),
    created  INTEGER NOT NULL,
    updated  INTEGER NOT NULL,
    -- A JSON array of integers, or NULL for none.
    user_ids TEXT,
    -- A JSON object, or NULL for none.
    metadata TEXT,
    -- The exact JSON text that was accepted; NULL for a tombstone. Last, because it may reach into overflow pages.
    value    TEXT,
    UNIQUE (store, scope, key)
) STRICT;

-- Rows are added when a revision is superseded, so ids grow with `superseded`: expiry walks them from the lowest.
CREATE TABLE version (
    id         INTEGER PRIMARY KEY,
    store      INTEGER NOT NULL REFERENCES store (id),
    scope      TEXT NOT NULL,
    key        TEXT NOT NULL,
    revision   INTEGER NOT NULL,
    created    INTEGER NOT NULL,
    updated    INTEGER NOT NULL,
    superseded INTEGER NOT NULL,
    user_ids   TEXT,
    metadata   TEXT,
    value      TEXT,
    UNIQUE (store, scope, key, revision)
) STRICT;

-- For people at a `sqlite3` prompt (open it with `-readonly` while a server runs). Not read by Clawstore.
CREATE VIEW entry_readable AS
SELECT game.external_id AS game,
       store.kind       AS kind,
       store.name       AS store,
       entry.scope      AS scope,
       entry.key        AS key,
       entry.revision   AS revision,
       strftime('%Y-%m-%dT%H:%M:%fZ', entry.created / 10000000.0, 'unixepoch') AS created,
       strftime('%Y-%m-%dT%H:%M:%fZ', entry.updated / 10000000.0, 'unixepoch') AS updated,
       entry.value IS NULL AS removed,
       entry.user_ids   AS user_ids,
       entry.metadata   AS metadata,
       entry.value      AS value
FROM entry
JOIN store ON store.id = entry.store
JOIN game ON game.id = store.game;
