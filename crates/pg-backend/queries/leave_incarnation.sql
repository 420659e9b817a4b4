-- The incarnation ends in order: from now on all its keys are free.
UPDATE clawstore.incarnation SET state = 'left', ended = now() WHERE id = $1 AND state = 'alive'
