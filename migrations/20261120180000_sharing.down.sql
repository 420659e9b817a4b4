-- Goes back to keys that have one owner each. Shared keys are free.

UPDATE clawstore.entry SET mode = 0, fence = NULL WHERE mode = 1;

DROP FUNCTION clawstore.commit_batch_v2;
ALTER TABLE clawstore.lane DROP COLUMN added;

DROP INDEX clawstore.entry_shared;
ALTER TABLE clawstore.incarnation DROP COLUMN shares;
