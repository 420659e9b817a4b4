-- Keys of a game that have an owner or are shared, for operators.
SELECT store.kind, store.name, entry.scope, entry.key, entry.fence AS "fence!", entry.mode, entry.owner,
       owner.server AS "server?", owner.state = 'alive' AS is_alive, asker.server AS "asker?"
FROM clawstore.game
JOIN clawstore.store ON store.game = game.id
JOIN clawstore.entry ON entry.store = store.id
LEFT JOIN clawstore.incarnation AS owner ON owner.id = entry.owner
LEFT JOIN clawstore.incarnation AS asker ON asker.id = entry.wanted
WHERE game.external_id = $1 AND ($2::text IS NULL OR store.name = $2) AND starts_with(entry.key, $3)
  AND entry.fence IS NOT NULL AND (entry.owner IS NOT NULL OR entry.mode = 1)
ORDER BY store.kind, store.name, entry.scope, entry.key
LIMIT $4
