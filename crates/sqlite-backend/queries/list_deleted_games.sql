-- Games that are marked as deleted. There are few games.
SELECT external_id, deleted FROM game WHERE deleted IS NOT NULL
