-- A store was first written to at one time, unless it already was, and last at another.
UPDATE store SET created = coalesce(created, ?2), updated = max(coalesce(updated, ?3), ?3) WHERE id = ?1
