-- The ids of stores. A store that nobody has written to gives no row.
WITH known AS MATERIALIZED (
    SELECT wish.n, game.id AS game, wish.kind COLLATE "C" AS kind, wish.name COLLATE "C" AS name
    FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS wish (game, kind, name, n)
    JOIN clawstore.game ON game.external_id = wish.game COLLATE "C"
)
SELECT known.n AS "n!", store.id AS "id!"
FROM known
JOIN clawstore.store ON store.game = known.game AND store.kind = known.kind AND store.name = known.name
