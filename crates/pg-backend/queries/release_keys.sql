-- Gives leases back, in the order of (store, scope, key), and answers who had asked for the keys. A key whose fence is another by
-- now is left alone; one that was never written is forgotten. With a fence to share it under, a key is everyone's from then on,
-- unless a server is alive that does not know shared keys.
--
-- Its commit waits for nobody: after a crash that loses it the key is its owner's again, who has not heard of that and gives it
-- back when somebody wants it. Whatever is granted later is behind it in the log.
WITH hurried AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true)
), wish AS MATERIALIZED (
    SELECT wish.store, wish.scope COLLATE "C" AS scope, wish.key COLLATE "C" AS key, wish.fence, wish.share
    FROM hurried, unnest($1::int[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
                  AS wish (store, scope, key, fence, share)
), given AS MATERIALIZED (
    SELECT entry.store, entry.scope, entry.key, entry.revision, entry.wanted,
           CASE WHEN NOT EXISTS (SELECT FROM clawstore.incarnation WHERE state = 'alive' AND NOT shares) THEN wish.share END
               AS share
    FROM wish
    JOIN clawstore.entry ON entry.store = wish.store AND entry.scope = wish.scope AND entry.key = wish.key
    WHERE entry.fence = wish.fence AND entry.mode = 0
    FOR UPDATE OF entry
), forgotten AS (
    DELETE FROM clawstore.entry
    USING given
    WHERE entry.store = given.store AND entry.scope = given.scope AND entry.key = given.key
      AND given.revision = 0 AND given.share IS NULL
), freed AS (
    UPDATE clawstore.entry
    SET owner = NULL, fence = given.share, mode = CASE WHEN given.share IS NULL THEN 0 ELSE 1 END, wanted = NULL,
        wanted_of = NULL
    FROM given
    WHERE entry.store = given.store AND entry.scope = given.scope AND entry.key = given.key
      AND (given.revision > 0 OR given.share IS NOT NULL)
)
SELECT DISTINCT wanted AS "asker!" FROM given WHERE wanted IS NOT NULL
