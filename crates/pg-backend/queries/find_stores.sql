-- The ids of stores. A store that nobody has written to gives no row.
SELECT wish.n AS "n!", store.id AS "id!"
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS wish (game, kind, name, n)
JOIN clawstore.game ON game.external_id = wish.game COLLATE "C"
JOIN clawstore.store
  ON store.game = game.id AND store.kind = wish.kind COLLATE "C" AND store.name = wish.name COLLATE "C"
