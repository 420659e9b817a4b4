-- Removes everything that is stored. The schema stays, for it holds the table of migrations.

DROP VIEW clawstore.entries;
DROP FUNCTION clawstore.time_of(bigint);
DROP FUNCTION clawstore.jsonb_or_null(text);
DROP FUNCTION clawstore.commit_batch_v1;
DROP FUNCTION clawstore.maintain_versions();
DROP TABLE clawstore.version;
DROP TABLE clawstore.entry;
DROP TABLE clawstore.lane;
DROP TABLE clawstore.incarnation;
DROP TABLE clawstore.store;
DROP TABLE clawstore.game;
