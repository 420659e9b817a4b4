-- The number by which live rows of ordered stores are sorted, in an index of its own.

ALTER TABLE entry ADD COLUMN num INTEGER;

UPDATE entry
SET num = CAST(value AS INTEGER)
WHERE value IS NOT NULL
  AND store IN (SELECT id FROM store WHERE kind = 'ordered')
  -- Nothing but digits: what else an ordered store may have been given is written anew before it is sorted.
  AND ltrim(value, '-') GLOB '[0-9]*'
  AND ltrim(value, '-') NOT GLOB '*[^0-9]*';

-- Writes of standard stores do not touch it.
CREATE INDEX entry_ordered ON entry (store, scope, num, key) WHERE num IS NOT NULL;
