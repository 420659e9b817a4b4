-- Games that have a snapshot. There are few games.
SELECT external_id, snapshot FROM game WHERE snapshot IS NOT NULL
