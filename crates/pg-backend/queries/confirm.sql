-- Commits something and changes nothing: what comes back was waited for as every commit is, behind all that was committed before.
-- A number of a transaction would not do: without anything written its commit waits for nobody.
SELECT pg_logical_emit_message(true, 'clawstore', '')::text AS "place!"
