-- Asks for the leases of keys, in the order of (store, scope, key). Waits for no lease and for no row.
--
-- The first row, without a store, says that the asker is alive. A key is granted through the row that was inserted or
-- through the row that was locked, because SKIP LOCKED does not see what its own statement inserted. One that gives no
-- row is busy: it is locked by somebody else, or has changed since this statement began. Where nothing is to be changed,
-- nothing is locked: those who wait for a key ask often, and must not hold up its owner.
WITH asker AS MATERIALIZED (
    SELECT id FROM clawstore.incarnation WHERE id = $1 AND state = 'alive'
), wish AS MATERIALIZED (
    -- The keys as they were when the statement began. What is concluded from it holds for a row only if that is the same
    -- when it is locked: who was not alive then may be another owner's predecessor by now.
    SELECT wish.store, wish.scope COLLATE "C" AS scope, wish.key COLLATE "C" AS key, wish.fence AS asked,
           entry.store IS NOT NULL AS is_there, entry.owner AS seen_owner, entry.fence AS seen_fence,
           EXISTS (SELECT FROM clawstore.incarnation WHERE id = entry.owner AND state = 'alive') AS is_held,
           EXISTS (SELECT FROM clawstore.incarnation WHERE id = entry.wanted AND state = 'alive') AS is_wanted
    FROM asker, unnest($2::int[], $3::text[], $4::text[], $5::bigint[]) AS wish (store, scope, key, fence)
    LEFT JOIN clawstore.entry
           ON entry.store = wish.store AND entry.scope = wish.scope COLLATE "C" AND entry.key = wish.key COLLATE "C"
    -- Keys of a game that is marked as deleted stay as they are: busy, to whoever asks. A value and no join, so that it is looked
    -- up by the store, however many stores deleted games have.
    WHERE (
        SELECT game.deleted FROM clawstore.store JOIN clawstore.game ON game.id = store.game WHERE store.id = wish.store
    ) IS NULL
), inserted AS (
    -- Only what is not there: for a row that is, ON CONFLICT would wait until whoever is writing it has committed.
    INSERT INTO clawstore.entry (store, scope, key, owner, fence)
    SELECT store, scope, key, $1, asked FROM wish WHERE NOT is_there
    ON CONFLICT (store, scope, key) DO NOTHING
    RETURNING store, scope, key, revision, created, updated
), known AS MATERIALIZED (
    -- The asker's already, by this fence, or another's who will hear that it is wanted.
    SELECT entry.*, entry.owner = $1 AS mine
    FROM wish
    JOIN clawstore.entry ON entry.store = wish.store AND entry.scope = wish.scope AND entry.key = wish.key
    WHERE is_held AND CASE WHEN seen_owner = $1 THEN seen_fence = asked ELSE is_wanted END
), locked AS MATERIALIZED (
    SELECT entry.*, asked, coalesce(seen_owner = $1, false) OR NOT is_held AS free
    FROM wish
    JOIN clawstore.entry ON entry.store = wish.store AND entry.scope = wish.scope AND entry.key = wish.key
    WHERE NOT (is_held AND CASE WHEN seen_owner = $1 THEN seen_fence = asked ELSE is_wanted END)
      AND entry.mode = 0
      AND entry.owner IS NOT DISTINCT FROM seen_owner AND entry.fence IS NOT DISTINCT FROM seen_fence
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
