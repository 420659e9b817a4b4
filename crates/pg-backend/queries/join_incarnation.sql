-- Makes an incarnation known as alive, with its lanes. The same again changes nothing, and brings nobody back to life. As long as
-- the session lasts it holds a lock by which others see that the process has its connection.
WITH joined AS (
    INSERT INTO clawstore.incarnation (id, server, shares) VALUES ($1, $2, true) ON CONFLICT (id) DO NOTHING
), held AS MATERIALIZED (
    SELECT pg_try_advisory_lock($1)
)
INSERT INTO clawstore.lane (incarnation, lane)
SELECT $1, number FROM held, generate_series(0, $3::int - 1) AS number
ON CONFLICT (incarnation, lane) DO NOTHING
