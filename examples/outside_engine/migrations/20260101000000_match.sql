-- The engine's own table, in its own schema `public`, recorded in its own `_sqlx_migrations`.
CREATE TABLE match (
    id uuid PRIMARY KEY,
    started_at timestamptz NOT NULL
);
