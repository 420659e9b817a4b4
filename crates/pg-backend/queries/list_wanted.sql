-- Leases of an incarnation that others wait for.
SELECT game.external_id AS game, store.kind, store.name, entry.scope, entry.key, entry.fence AS "fence!"
FROM clawstore.entry
JOIN clawstore.store ON store.id = entry.store
JOIN clawstore.game ON game.id = store.game
WHERE entry.wanted_of = $1 AND entry.owner = $1
LIMIT 1000
