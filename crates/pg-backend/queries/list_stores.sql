-- Every store with each scope in which something was ever written. Jumps from scope to scope through the index instead of
-- reading every entry.
WITH RECURSIVE found (store, scope) AS (
    SELECT store.id, (SELECT min(entry.scope) FROM clawstore.entry WHERE entry.store = store.id)
    FROM clawstore.store
    UNION ALL
    SELECT found.store,
           (SELECT min(entry.scope) FROM clawstore.entry WHERE entry.store = found.store AND entry.scope > found.scope)
    FROM found
    WHERE found.scope IS NOT NULL
)
SELECT game.external_id AS "game!", store.kind AS "kind!", store.name AS "name!", found.scope AS "scope!"
FROM found
JOIN clawstore.store ON store.id = found.store
JOIN clawstore.game ON game.id = store.game
-- Keys that were acquired and never written do not make a scope.
WHERE EXISTS (
    SELECT FROM clawstore.entry
    WHERE entry.store = found.store AND entry.scope = found.scope AND entry.revision > 0
)
