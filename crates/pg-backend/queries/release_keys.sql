-- Gives leases back, in the order of (store, scope, key). A key whose fence is another by now is left alone.
UPDATE clawstore.entry
SET owner = NULL, fence = NULL, wanted = NULL, wanted_of = NULL
FROM unnest($1::int[], $2::text[], $3::text[], $4::bigint[]) AS wish (store, scope, key, fence)
WHERE entry.store = wish.store AND entry.scope = wish.scope COLLATE "C" AND entry.key = wish.key COLLATE "C"
  AND entry.fence = wish.fence
