-- Makes a game known. Nothing if it already is.
INSERT INTO game (external_id) VALUES (?1) ON CONFLICT (external_id) DO NOTHING
