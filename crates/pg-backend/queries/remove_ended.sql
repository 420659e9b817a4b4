-- Removes the answers kept for batches of incarnations that ended a day ago, and those of them that have none left, at most a
-- thousand at a time. What somebody else has locked is left for the next time. Entries are free with or without them.
WITH gone AS (
    SELECT id FROM clawstore.incarnation
    WHERE state <> 'alive' AND ended < now() - interval '1 day'
    LIMIT 1000
    FOR UPDATE SKIP LOCKED
), removed AS (
    DELETE FROM clawstore.incarnation
    USING gone
    WHERE incarnation.id = gone.id AND NOT EXISTS (SELECT FROM clawstore.lane WHERE lane.incarnation = gone.id)
), lanes AS (
    SELECT lane.incarnation, lane.lane
    FROM gone JOIN clawstore.lane ON lane.incarnation = gone.id
    FOR UPDATE OF lane SKIP LOCKED
)
DELETE FROM clawstore.lane
USING lanes
WHERE lane.incarnation = lanes.incarnation AND lane.lane = lanes.lane
