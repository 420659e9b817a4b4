-- Gives leases back, in the order of (store, scope, key). A key whose fence is another by now is left alone; one that was never
-- written is forgotten.
WITH wish AS MATERIALIZED (
    SELECT store, scope COLLATE "C" AS scope, key COLLATE "C" AS key, fence
    FROM unnest($1::int[], $2::text[], $3::text[], $4::bigint[]) AS wish (store, scope, key, fence)
), forgotten AS (
    DELETE FROM clawstore.entry
    USING wish
    WHERE entry.store = wish.store AND entry.scope = wish.scope AND entry.key = wish.key AND entry.fence = wish.fence
      AND entry.revision = 0
)
UPDATE clawstore.entry
SET owner = NULL, fence = NULL, wanted = NULL, wanted_of = NULL
FROM wish
WHERE entry.store = wish.store AND entry.scope = wish.scope AND entry.key = wish.key AND entry.fence = wish.fence
  AND entry.revision > 0
