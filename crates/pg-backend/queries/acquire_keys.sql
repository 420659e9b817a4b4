-- Asks for the leases of keys, in the order of (store, scope, key). Waits for no lease and for no row.
--
-- The first row, without a store, says that the asker is alive. A key is granted through the row that was inserted or
-- through the row that was locked, because SKIP LOCKED does not see what its own statement inserted. One that gives no
-- row is locked by somebody else, or was inserted by somebody else a moment ago: busy. Where nothing is to be changed,
-- nothing is locked: those who wait for a key ask often, and must not hold up its owner.
WITH asker AS MATERIALIZED (
    SELECT id FROM clawstore.incarnation WHERE id = $1 AND state = 'alive'
), wish AS MATERIALIZED (
    SELECT wish.store, wish.scope COLLATE "C" AS scope, wish.key COLLATE "C" AS key, wish.fence
    FROM asker, unnest($2::int[], $3::text[], $4::text[], $5::bigint[]) AS wish (store, scope, key, fence)
), inserted AS (
    INSERT INTO clawstore.entry (store, scope, key, owner, fence)
    SELECT store, scope, key, $1, fence FROM wish
    ON CONFLICT (store, scope, key) DO NOTHING
    RETURNING store, scope, key, revision, created, updated
), known AS MATERIALIZED (
    -- The asker's already, by this fence, or another's who will hear that it is wanted.
    SELECT entry.*, entry.owner = $1 AS mine
    FROM wish
    JOIN clawstore.entry ON entry.store = wish.store AND entry.scope = wish.scope AND entry.key = wish.key
    WHERE EXISTS (SELECT FROM clawstore.incarnation WHERE id = entry.owner AND state = 'alive')
      AND CASE WHEN entry.owner = $1
               THEN entry.fence = wish.fence
               ELSE EXISTS (SELECT FROM clawstore.incarnation WHERE id = entry.wanted AND state = 'alive') END
), locked AS MATERIALIZED (
    SELECT entry.*, wish.fence AS asked,
           coalesce(entry.owner = $1, false)
               OR NOT EXISTS (SELECT FROM clawstore.incarnation WHERE id = entry.owner AND state = 'alive') AS free
    FROM wish
    JOIN clawstore.entry ON entry.store = wish.store AND entry.scope = wish.scope AND entry.key = wish.key
    WHERE entry.mode = 0
      AND NOT (
          EXISTS (SELECT FROM clawstore.incarnation WHERE id = entry.owner AND state = 'alive')
          AND CASE WHEN entry.owner = $1
                   THEN entry.fence = wish.fence
                   ELSE EXISTS (SELECT FROM clawstore.incarnation WHERE id = entry.wanted AND state = 'alive') END
      )
    FOR NO KEY UPDATE OF entry SKIP LOCKED
), changed AS (
    UPDATE clawstore.entry
    SET owner     = CASE WHEN locked.free THEN $1 ELSE entry.owner END,
        fence     = CASE WHEN locked.free THEN locked.asked ELSE entry.fence END,
        wanted    = CASE WHEN locked.free THEN NULL ELSE $1 END,
        wanted_of = CASE WHEN locked.free THEN NULL ELSE entry.owner END
    FROM locked
    WHERE entry.store = locked.store AND entry.scope = locked.scope AND entry.key = locked.key
), answer AS (
    SELECT NULL AS store, NULL AS scope, NULL AS key, true AS granted, NULL::bigint AS owner, NULL::bigint AS revision,
           NULL::bigint AS created, NULL::bigint AS updated, NULL::bigint[] AS user_ids, NULL AS metadata, NULL AS value
    FROM asker
    UNION ALL
    SELECT store, scope, key, true, NULL, revision, created, updated, NULL, NULL, NULL FROM inserted
    UNION ALL
    SELECT store, scope, key, mine, owner, revision, created, updated, CASE WHEN mine THEN user_ids END,
           CASE WHEN mine THEN metadata END, CASE WHEN mine THEN value END
    FROM known
    UNION ALL
    SELECT store, scope, key, free, owner, revision, created, updated, CASE WHEN free THEN user_ids END,
           CASE WHEN free THEN metadata END, CASE WHEN free THEN value END
    FROM locked
)
SELECT answer.store, answer.scope, answer.key, answer.granted AS "granted!", answer.owner, incarnation.beats AS "beats?",
       answer.revision, answer.created, answer.updated, answer.user_ids, answer.metadata, answer.value
FROM answer
LEFT JOIN clawstore.incarnation ON incarnation.id = answer.owner
