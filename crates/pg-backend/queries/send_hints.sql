-- Tells processes that it is worth asking now, each on a channel of its own. As with messages: commits that notify are made one at
-- a time in the whole cluster, so this one waits for no disk, and not for long for the others. It is never part of a batch
-- (`ownership-protocol.md` A15).
WITH hurried AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true), set_config('lock_timeout', '500ms', true)
)
SELECT pg_notify('clawstore-hints-' || hint.process, hint.what)
FROM hurried, unnest($1::bigint[], $2::text[]) AS hint (process, what)
