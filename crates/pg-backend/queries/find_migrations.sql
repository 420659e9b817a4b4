-- Whether the table of migrations exists.
SELECT to_regclass('clawstore.migration') IS NOT NULL AS "exists!"
