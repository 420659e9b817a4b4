-- The migrations that were applied, oldest first.
SELECT version, description, checksum FROM clawstore.migration WHERE success ORDER BY version
