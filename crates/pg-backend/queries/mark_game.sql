-- Marks a game as deleted. Nobody owns its shared keys: whoever writes one finds out by its fence.
WITH freed AS (
    UPDATE clawstore.entry
    SET mode = 0, fence = NULL
    FROM clawstore.store
    WHERE store.game = $1 AND entry.store = store.id AND entry.mode = 1
)
UPDATE clawstore.game SET deleted = $2 WHERE id = $1
