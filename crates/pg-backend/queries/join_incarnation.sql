-- Makes an incarnation known as alive, with its lanes. The same again changes nothing, and brings nobody back to life.
WITH joined AS (
    INSERT INTO clawstore.incarnation (id, server) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING
)
INSERT INTO clawstore.lane (incarnation, lane)
SELECT $1, number FROM generate_series(0, $3::int - 1) AS number
ON CONFLICT (incarnation, lane) DO NOTHING
