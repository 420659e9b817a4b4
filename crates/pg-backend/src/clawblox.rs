//! Reading the data that a Clawblox engine keeps in its own table, `data_stores`.
//!
//! Owns: the SQL on that table, and reading it in pages without holding anything in the source. Does not own: what becomes of
//! a row (`clawstore::import`). Nothing here writes: every session is read-only.
//!
//! The statements are not checked when this is compiled, unlike all others of this crate: the table is another product's, and
//! in no database of ours.

use std::time::Duration;

use clawstore_core::GameId;
use clawstore_core::limits::VALUE_BYTES_MAX;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use crate::failure::{sqlstate, text};
use crate::link::within;
use crate::open_error::OpenError;
use crate::session::open_error;

/// Rows of a page: about as many as one batch of the store takes.
const PAGE_ROWS: i64 = 1_000;

/// Bytes of values after which a page ends. Its last value may go beyond.
const PAGE_BYTES: i64 = 8 * 1024 * 1024;

/// Longer texts are not fetched: Postgres writes `jsonb` with blanks, which at most double it.
const TEXT_BYTES_MAX: i64 = 2 * VALUE_BYTES_MAX as i64;

/// How long opening a session may take.
const OPEN_DEADLINE: Duration = Duration::from_secs(10);

/// Writes are refused by the server, too, and plans follow the parameters.
const SETTINGS: [(&str, &str); 4] = [
    ("default_transaction_read_only", "on"),
    ("plan_cache_mode", "force_custom_plan"),
    ("tcp_keepalives_idle", "5"),
    ("lock_timeout", "30s"),
];

/// How many rows there are: `$1` are the games, null for all.
const COUNT: &str = "SELECT count(*) FROM data_stores WHERE $1::text[] IS NULL OR game_id = ANY($1::text[]::uuid[])";

/// A page in the order of the table's unique index: as [`COUNT`], `$2` rows, `$3` bytes, `$4` bytes of one value.
macro_rules! page {
    ($after:literal) => {
        concat!(
            "SELECT game_id::text AS game, store_name::text AS store, key::text AS key, bytes, ",
            "  CASE WHEN bytes <= $4 THEN json END AS json ",
            "FROM (SELECT *, sum(bytes) OVER (ORDER BY game_id, store_name, key ROWS UNBOUNDED PRECEDING) AS total ",
            "      FROM (SELECT *, coalesce(octet_length(json), 0)::bigint AS bytes ",
            "            FROM (SELECT game_id, store_name, key, ",
            "                    CASE WHEN jsonb_typeof(value) <> 'null' THEN value::text END AS json ",
            "                  FROM data_stores WHERE ($1::text[] IS NULL OR game_id = ANY($1::text[]::uuid[]))",
            $after,
            "                  ORDER BY game_id, store_name, key LIMIT $2) AS page) AS sized) AS summed ",
            "WHERE total - bytes < $3 ORDER BY game_id, store_name, key"
        )
    };
}

const FIRST_PAGE: &str = page!(" ");
const NEXT_PAGE: &str = page!(" AND (game_id, store_name, key) > ($5::text::uuid, $6, $7) ");

/// Why the source could not be read. Nothing was written to it in any case.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// There is no connection to be had.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is no such table, or it is another product's.
    #[error("this is no database of a Clawblox engine: {detail}; its table `data_stores` is needed")]
    NotClawblox {
        /// What the server said.
        detail: String,
    },
    /// The role may not read it.
    #[error("the source could not be read: {detail}; grant SELECT on `data_stores` to its role")]
    NoRights {
        /// What the server said.
        detail: String,
    },
    /// Anything else.
    #[error("the source could not be read: {detail}")]
    Read {
        /// What the server or the driver said.
        detail: String,
    },
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRow {
    /// Its game, as the table has it.
    pub game: String,
    /// Name of the store.
    pub store: String,
    /// The key.
    pub key: String,
    /// What is stored.
    pub value: SourceValue,
}

/// What the table holds under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceValue {
    /// JSON, with blanks between its parts.
    Json(String),
    /// JSON null: what was removed.
    Removed,
    /// A text too long for any data store; it was not fetched.
    TooLarge {
        /// Its length in bytes.
        bytes: u64,
    },
}

/// A read-only session with the database of a Clawblox engine.
#[derive(Debug)]
pub struct Source {
    session: PgConnection,
    games: Option<Vec<String>>,
    last: Option<(String, String, String)>,
}

impl Source {
    /// Connects. Reads the rows of these games, of all if there are none.
    ///
    /// # Errors
    /// If there is no connection within 10 s, or no such table.
    pub async fn open(options: &PgConnectOptions, games: &[GameId]) -> Result<Self, SourceError> {
        let mut options = options.clone().disable_statement_logging().options(SETTINGS);
        if options.get_application_name().is_none() {
            options = options.application_name("clawstore-import");
        }
        let connecting = within(OPEN_DEADLINE, PgConnection::connect_with(&options)).await;
        let late = || sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
        let session = connecting.unwrap_or_else(|| Err(late())).map_err(|error| Self::unreachable(&options, error))?;
        let games = (!games.is_empty()).then(|| games.iter().map(GameId::to_string).collect());
        Ok(Self { session, games, last: None })
    }

    fn unreachable(options: &PgConnectOptions, error: sqlx::Error) -> SourceError {
        SourceError::Open(open_error(options, error))
    }

    /// How many rows there are to read.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub async fn count(&mut self) -> Result<u64, SourceError> {
        let count: i64 =
            sqlx::query_scalar(COUNT).bind(&self.games).fetch_one(&mut self.session).await.map_err(read_error)?;
        Ok(count.unsigned_abs())
    }

    /// The next rows, by game, store and key; none at the end. Each page is a transaction of its own: nothing is held in the
    /// source between them.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub async fn next_page(&mut self) -> Result<Vec<SourceRow>, SourceError> {
        let query = sqlx::query(if self.last.is_some() { NEXT_PAGE } else { FIRST_PAGE });
        let mut query = query.bind(&self.games).bind(PAGE_ROWS).bind(PAGE_BYTES).bind(TEXT_BYTES_MAX);
        if let Some((game, store, key)) = &self.last {
            query = query.bind(game).bind(store).bind(key);
        }
        let rows = query.fetch_all(&mut self.session).await.map_err(read_error)?;
        let rows = rows.iter().map(row).collect::<Result<Vec<_>, _>>().map_err(read_error)?;
        if let Some(last) = rows.last() {
            self.last = Some((last.game.clone(), last.store.clone(), last.key.clone()));
        }
        Ok(rows)
    }

    /// Takes its leave.
    pub async fn close(self) {
        // The server notices by itself if the good-bye does not arrive.
        let _ = self.session.close().await;
    }
}

fn row(row: &PgRow) -> Result<SourceRow, sqlx::Error> {
    let bytes: i64 = row.try_get("bytes")?;
    let value = match row.try_get::<Option<String>, _>("json")? {
        Some(json) => SourceValue::Json(json),
        None if bytes == 0 => SourceValue::Removed,
        None => SourceValue::TooLarge { bytes: bytes.unsigned_abs() },
    };
    Ok(SourceRow { game: row.try_get("game")?, store: row.try_get("store")?, key: row.try_get("key")?, value })
}

fn read_error(error: sqlx::Error) -> SourceError {
    let detail = text(&error);
    match sqlstate(&error) {
        // No such table, column, function or operator: another table of this name.
        Some("42P01" | "42703" | "42883" | "42804" | "42846") => SourceError::NotClawblox { detail },
        Some("42501") => SourceError::NoRights { detail },
        _ => SourceError::Read { detail },
    }
}
