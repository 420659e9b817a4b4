-- Asks for the leases of keys, in the order of (store, scope, key). Waits for no lease and for no row.
--
-- The first row, without a store, says that the asker is alive. A key is granted through the row that was inserted or
-- through the row that was locked, because SKIP LOCKED does not see what its own statement inserted. One that gives no
-- row is busy: it is locked by somebody else, or has changed since this statement began. Where nothing is to be changed,
-- nothing is locked: those who wait for a key ask often, and must not hold up its owner.
WITH asker AS MATERIALIZED (
    SELECT id FROM clawstore.incarnation WHERE id = $1 AND state = 'alive'
), seen AS (
    -- The keys as they were when the statement began. What is concluded from it holds for a row only if that is the same
    -- when it is locked: who was not alive then may be another owner's predecessor by now.
    SELECT wish.store, wish.scope COLLATE "C" AS scope, wish.key COLLATE "C" AS key, wish.fence AS asked, wish.instead_of,
           entry.store IS NOT NULL AS is_there, entry.mode AS seen_mode, entry.owner AS seen_owner, entry.fence AS seen_fence,
           EXISTS (SELECT FROM clawstore.incarnation WHERE id = entry.owner AND state = 'alive') AS is_held,
           EXISTS (SELECT FROM clawstore.incarnation WHERE id = entry.wanted AND state = 'alive') AS is_wanted
    FROM asker, unnest($2::int[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])
                AS wish (store, scope, key, fence, instead_of)
    LEFT JOIN clawstore.entry
           ON entry.store = wish.store AND entry.scope = wish.scope COLLATE "C" AND entry.key = wish.key COLLATE "C"
    -- Keys of a game that is marked as deleted stay as they are: busy, to whoever asks. A value and no join, so that it is looked
    -- up by the store, however many stores deleted games have.
    WHERE (
        SELECT game.deleted FROM clawstore.store JOIN clawstore.game ON game.id = store.game WHERE store.id = wish.store
    ) IS NULL
), wish AS MATERIALIZED (
    -- `mine` already, by this fence; `free` for the asker, also if it is taken `instead_of` the fence that it has; or else
    -- `held` by another, or `shared`.
    SELECT seen.*,
           CASE WHEN NOT is_there THEN 'new'
                WHEN seen_mode = 1 THEN CASE WHEN instead_of = seen_fence THEN 'free' ELSE 'shared' END
                WHEN seen_mode <> 0 THEN 'unknown'
                WHEN NOT is_held THEN 'free'
                WHEN seen_owner = $1 THEN CASE WHEN seen_fence = asked THEN 'mine' ELSE 'free' END
                WHEN instead_of = seen_fence THEN 'free'
                ELSE 'held'
           END AS state
    FROM seen
), inserted AS (
    -- Only what is not there: for a row that is, ON CONFLICT would wait until whoever is writing it has committed.
    INSERT INTO clawstore.entry (store, scope, key, owner, fence)
    SELECT store, scope, key, $1, asked FROM wish WHERE state = 'new'
    ON CONFLICT (store, scope, key) DO NOTHING
    RETURNING store, scope, key, revision, created, updated
), known AS MATERIALIZED (
    -- Nothing is to be changed: the owner of a held one will hear that it is wanted.
    SELECT entry.*, wish.state
    FROM wish
    JOIN clawstore.entry ON entry.store = wish.store AND entry.scope = wish.scope AND entry.key = wish.key
    WHERE wish.state IN ('mine', 'shared') OR wish.state = 'held' AND is_wanted
), locked AS MATERIALIZED (
    SELECT entry.*, asked, wish.state
    FROM wish
    JOIN clawstore.entry ON entry.store = wish.store AND entry.scope = wish.scope AND entry.key = wish.key
    WHERE (wish.state = 'free' OR wish.state = 'held' AND NOT is_wanted)
      AND entry.mode = seen_mode
      AND entry.owner IS NOT DISTINCT FROM seen_owner AND entry.fence IS NOT DISTINCT FROM seen_fence
    FOR NO KEY UPDATE OF entry SKIP LOCKED
), changed AS (
    UPDATE clawstore.entry
    SET owner     = CASE locked.state WHEN 'free' THEN $1 ELSE entry.owner END,
        fence     = CASE locked.state WHEN 'free' THEN locked.asked ELSE entry.fence END,
        mode      = 0,
        wanted    = CASE locked.state WHEN 'free' THEN NULL ELSE $1 END,
        wanted_of = CASE locked.state WHEN 'free' THEN NULL ELSE entry.owner END
    FROM locked
    WHERE entry.store = locked.store AND entry.scope = locked.scope AND entry.key = locked.key
), hurried AS MATERIALIZED (
    -- That a key is wanted need not survive a crash: who waits says it again. A grant must.
    SELECT set_config('synchronous_commit', 'off', true) AS done
    WHERE NOT EXISTS (SELECT FROM inserted) AND NOT EXISTS (SELECT FROM locked WHERE state = 'free')
), answer AS (
    SELECT NULL AS store, NULL AS scope, NULL AS key, 'alive' AS state, NULL::bigint AS owner,
           (SELECT NULL::bigint FROM hurried WHERE done IS NOT NULL) AS fence, NULL::bigint AS revision,
           NULL::bigint AS created, NULL::bigint AS updated, NULL::bigint[] AS user_ids, NULL AS metadata, NULL AS value
    FROM asker
    UNION ALL
    SELECT store, scope, key, 'free', NULL, NULL, revision, created, updated, NULL, NULL, NULL FROM inserted
    UNION ALL
    SELECT store, scope, key, state, owner, fence, revision, created, updated, CASE WHEN state <> 'held' THEN user_ids END,
           CASE WHEN state <> 'held' THEN metadata END, CASE WHEN state <> 'held' THEN value END
    FROM known
    UNION ALL
    SELECT store, scope, key, state, owner, fence, revision, created, updated, CASE WHEN state <> 'held' THEN user_ids END,
           CASE WHEN state <> 'held' THEN metadata END, CASE WHEN state <> 'held' THEN value END
    FROM locked
)
SELECT answer.store, answer.scope, answer.key, answer.state AS "state!", answer.owner, incarnation.beats AS "beats?",
       answer.fence, answer.revision, answer.created, answer.updated, answer.user_ids, answer.metadata, answer.value
FROM answer
LEFT JOIN clawstore.incarnation ON incarnation.id = answer.owner
