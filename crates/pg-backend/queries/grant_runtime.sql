-- What servers need, granted to the group role of theirs, if there is one. Granting again changes nothing.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'clawstore_runtime') THEN
        GRANT USAGE ON SCHEMA clawstore TO clawstore_runtime;
        GRANT SELECT ON clawstore.migration, clawstore.entries TO clawstore_runtime;
        GRANT SELECT, INSERT, UPDATE (snapshot, deleted) ON clawstore.game TO clawstore_runtime;
        GRANT SELECT, INSERT, UPDATE (created, updated) ON clawstore.store TO clawstore_runtime;
        GRANT SELECT, INSERT, UPDATE, DELETE
            ON clawstore.incarnation, clawstore.lane, clawstore.entry, clawstore.version TO clawstore_runtime;
        GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA clawstore TO clawstore_runtime;
    END IF;
END
$$
