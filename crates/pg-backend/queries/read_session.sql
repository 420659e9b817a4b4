-- What durability depends on, and what this binary expects of a server, as the session found it; then waiting for the
-- disk is turned on where the server's default is not to.
WITH found AS MATERIALIZED (
    SELECT current_setting('server_version_num')::int AS version,
           current_setting('server_encoding') AS encoding,
           pg_is_in_recovery() AS standby,
           current_setting('fsync') AS fsync,
           current_setting('full_page_writes') AS full_page_writes,
           current_setting('synchronous_commit') AS synchronous_commit,
           current_setting('synchronous_standby_names') AS standbys
)
SELECT version AS "version!", encoding AS "encoding!", standby AS "standby!", fsync AS "fsync!", full_page_writes AS "full_page_writes!",
       synchronous_commit AS "synchronous_commit!", standbys AS "standbys!",
       CASE WHEN synchronous_commit IN ('off', 'local') THEN set_config('synchronous_commit', 'on', false) END AS mended
FROM found
