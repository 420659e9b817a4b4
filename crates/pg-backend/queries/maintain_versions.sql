-- Makes and drops partitions of versions. False: ask again later.
SELECT clawstore.maintain_versions() AS "done!"
