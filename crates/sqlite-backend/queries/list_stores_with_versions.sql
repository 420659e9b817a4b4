-- Ids of stores that have versions. Jumps from store to store through the index.
WITH RECURSIVE found (store) AS (
    SELECT min(store) FROM version
    UNION ALL
    SELECT (SELECT min(version.store) FROM version WHERE version.store > found.store)
    FROM found
    WHERE found.store IS NOT NULL
)
SELECT store FROM found WHERE store IS NOT NULL
