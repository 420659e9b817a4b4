-- Death is final, and only for those whose count of beats is still what was seen. Only the living may declare it.
UPDATE clawstore.incarnation
SET state = 'dead', ended = now()
FROM unnest($2::bigint[], $3::bigint[]) AS seen (id, beats)
WHERE incarnation.id = seen.id AND incarnation.beats = seen.beats AND incarnation.state = 'alive'
  AND EXISTS (SELECT FROM clawstore.incarnation AS witness WHERE witness.id = $1 AND witness.state = 'alive')
