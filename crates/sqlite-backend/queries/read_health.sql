-- Touches the header and the schema: a file that is not a database, or is cut short, is refused here.
SELECT count(*) FROM sqlite_schema
