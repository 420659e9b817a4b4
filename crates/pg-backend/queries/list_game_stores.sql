-- Standard stores of a game between two names, neither included, that hold a key: live, or removed at a time or later. One key
-- is enough; it says when the store was written to while the store itself does not.
SELECT store.name AS "name!", coalesce(store.created, entry.created) AS "created!",
       coalesce(store.updated, entry.updated) AS "updated!"
FROM clawstore.store
CROSS JOIN LATERAL (
    SELECT entry.created, entry.updated
    FROM clawstore.entry
    WHERE entry.store = store.id AND entry.revision > 0 AND (entry.value IS NOT NULL OR entry.updated >= $4)
    LIMIT 1
) AS entry
-- Not joined: the stores come in the order of their names.
WHERE store.game = (SELECT id FROM clawstore.game WHERE external_id = $1)
  AND store.kind = 'standard' AND store.name > $2 AND store.name < $3
ORDER BY store.name
LIMIT $5
