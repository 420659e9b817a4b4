-- Death is final, and only for those whose count of beats is still what was seen. Only the living may declare it. With `$4` only
-- for those whose lock nobody holds: their connection is lost. A server of the release before takes none. Answers who of those that
-- were seen is not alive.
WITH seen AS MATERIALIZED (
    SELECT * FROM unnest($2::bigint[], $3::bigint[]) AS seen (id, beats)
), declared AS (
    UPDATE clawstore.incarnation
    SET state = 'dead', ended = now()
    FROM seen
    WHERE incarnation.id = seen.id AND incarnation.beats = seen.beats AND incarnation.state = 'alive'
      AND EXISTS (SELECT FROM clawstore.incarnation AS witness WHERE witness.id = $1 AND witness.state = 'alive')
      AND (NOT $4::bool OR incarnation.shares AND NOT EXISTS (
          -- A lock on one number of 64 bits, in its two halves.
          SELECT FROM pg_catalog.pg_locks AS lock
          WHERE lock.locktype = 'advisory' AND lock.objsubid = 1 AND lock.granted
            AND lock.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
            AND lock.classid::bigint = seen.id >> 32 AND lock.objid::bigint = seen.id & 4294967295
      ))
    RETURNING incarnation.id
)
SELECT id AS "id!" FROM declared
UNION
SELECT seen.id FROM seen
WHERE NOT EXISTS (SELECT FROM clawstore.incarnation WHERE incarnation.id = seen.id AND incarnation.state = 'alive')
