-- What is stored under keys. A key without a row gives no row.
SELECT wish.n AS "n!", entry.revision AS "revision!", entry.created AS "created!", entry.updated AS "updated!",
       entry.user_ids, entry.metadata, entry.value
FROM unnest($1::int[], $2::text[], $3::text[]) WITH ORDINALITY AS wish (store, scope, key, n)
JOIN clawstore.entry
  ON entry.store = wish.store AND entry.scope = wish.scope COLLATE "C" AND entry.key = wish.key COLLATE "C"
