-- Every store with each of its scopes. Jumps from scope to scope through the index instead of reading every entry.
WITH RECURSIVE found (store, scope) AS (
    SELECT store.id, (SELECT min(entry.scope) FROM entry WHERE entry.store = store.id)
    FROM store
    UNION ALL
    SELECT found.store, (SELECT min(entry.scope) FROM entry WHERE entry.store = found.store AND entry.scope > found.scope)
    FROM found
    WHERE found.scope IS NOT NULL
)
SELECT game.external_id, store.kind, store.name, found.scope
FROM found
JOIN store ON store.id = found.store
JOIN game ON game.id = store.game
WHERE found.scope IS NOT NULL
