-- Whether anything was ever written for a game, and the name of one server that is alive and owns a key of it.
SELECT EXISTS (
           SELECT FROM clawstore.store
           CROSS JOIN LATERAL (SELECT FROM clawstore.entry WHERE entry.store = store.id AND entry.revision > 0 LIMIT 1) AS one
           WHERE store.game = $1
       ) AS "is_written!",
       (
           SELECT incarnation.server
           FROM clawstore.store
           JOIN clawstore.entry ON entry.store = store.id
           JOIN clawstore.incarnation ON incarnation.id = entry.owner AND incarnation.state = 'alive'
           -- Operators delete a game when its servers have gone: where none is alive, no key is looked at.
           WHERE store.game = $1 AND EXISTS (SELECT FROM clawstore.incarnation AS any_one WHERE any_one.state = 'alive')
           LIMIT 1
       ) AS owner
