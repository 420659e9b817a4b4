//! One session with the server: how it is opened, and what is checked of it.
//!
//! Owns: the settings of each kind of session and the check of the server's. Does not own: which call uses which session
//! (`backend`), what becomes of one after a failure (`link`).

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::task::JoinSet;

use crate::durability::{Durability, Shown};
use crate::failure::{class, sqlstate, text};
use crate::hosts;
use crate::link::within;
use crate::messages::Listener;
use crate::open_error::OpenError;

/// Postgres 15, the oldest that is tested. Columns compressed by lz4 and `client_connection_check_interval` came in 14.
const SERVER_VERSION_MIN: i32 = 150_000;

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// One lane of batches. Waits longer for a lock than others, but gives up before the caller does: that answer is
    /// definite.
    Commits,
    /// Everything else that servers do.
    Calls,
    /// What operators ask about a whole game, of which every key may have to be looked at.
    Games,
    /// Applying migrations. They wait for each other, and may take long.
    Migrations,
}

impl Purpose {
    /// Settings sent at the start of the session, beside `SETTINGS`.
    const fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            // `work_mem` holds the rows of a whole batch, which would go through a file else.
            Self::Commits => &[("lock_timeout", "5s"), ("statement_timeout", "30s"), ("work_mem", "32MB")],
            Self::Calls => &[("lock_timeout", "2s"), ("statement_timeout", "10s")],
            Self::Games => &[("lock_timeout", "5s"), ("statement_timeout", "60s")],
            Self::Migrations => &[("lock_timeout", "60s"), ("statement_timeout", "0")],
        }
    }
}

/// Settings of every session. A frozen process must not hold locks for long, a vanished one must be noticed
/// (`ownership-protocol.md` §2.3), and the plan of a statement must not depend on the rows of its first calls.
const SETTINGS: [(&str, &str); 11] = [
    ("idle_in_transaction_session_timeout", "5s"),
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
    ("client_connection_check_interval", "2s"),
    ("plan_cache_mode", "force_generic_plan"),
    ("jit", "off"),
    // A plan made while a table was small must still do when it is large: every statement goes through its index.
    ("enable_seqscan", "off"),
    // Would gather the whole of a store before the first row of a step.
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
];

/// How long opening a session may take.
const OPEN_DEADLINE: Duration = Duration::from_secs(5);

/// Of several hosts, the next one is tried after this too. With a few of them it is still well within the deadline of a beat.
const NEXT_HOST_AFTER: Duration = Duration::from_millis(250);

/// A session, what it promises, and with whom it is.
type Opened = (PgConnection, Durability, PgConnectOptions);

/// Opens a session and checks the server.
pub(crate) async fn open(
    options: &PgConnectOptions,
    purpose: Purpose,
    must_be_durable: bool,
) -> Result<(PgConnection, Durability), OpenError> {
    open_somewhere(options, purpose, must_be_durable).await.map(|(session, durability, _)| (session, durability))
}

/// The first of the hosts that takes writes, with the options that name it alone. They are tried in their order, each without
/// waiting for long for the one before: of a machine that is gone nobody says that it is.
async fn open_somewhere(
    options: &PgConnectOptions,
    purpose: Purpose,
    must_be_durable: bool,
) -> Result<Opened, OpenError> {
    let each = hosts::each(options);
    // Large, and rarely run: boxed, so that the calls that may have to open a session stay small.
    let opening = Box::pin(async {
        let (mut opening, mut failed) = (JoinSet::new(), None);
        for host in each {
            opening.spawn(open_now(host, purpose, must_be_durable));
            match within(NEXT_HOST_AFTER, opening.join_next()).await.flatten() {
                Some(Ok(Ok(opened))) => return Ok(opened),
                Some(result) => failed = result.ok().and_then(Result::err),
                None => {}
            }
        }
        while let Some(result) = opening.join_next().await {
            match result {
                Ok(Ok(opened)) => return Ok(opened),
                result => failed = result.ok().and_then(Result::err),
            }
        }
        Err(failed.unwrap_or_else(|| late(options)))
    });
    within(OPEN_DEADLINE, opening).await.unwrap_or_else(|| Err(late(options)))
}

fn late(options: &PgConnectOptions) -> OpenError {
    OpenError::Unreachable {
        server: server(options),
        detail: format!("no answer within {} s", OPEN_DEADLINE.as_secs()),
    }
}

async fn open_now(host: PgConnectOptions, purpose: Purpose, must_be_durable: bool) -> Result<Opened, OpenError> {
    let options = with_settings(&host, purpose);
    let mut connection = PgConnection::connect_with(&options).await.map_err(|error| open_error(&options, error))?;
    let durability = check(&options, &mut connection, must_be_durable).await?;
    Ok((connection, durability, host))
}

/// Opens a session that listens too. Goes over a plain one first: the driver's listener would try again and again where a server
/// cannot be reached, and not say why.
pub(crate) async fn open_listening(
    options: &PgConnectOptions,
    purpose: Purpose,
    must_be_durable: bool,
    channels: Vec<String>,
) -> Result<Listener, OpenError> {
    let (plain, _, host) = open_somewhere(options, purpose, must_be_durable).await?;
    // The server notices by itself if the good-bye does not arrive.
    let _ = plain.close().await;
    let options = with_settings(&host, purpose);
    let failed = |error| open_error(&options, error);
    let opening = Box::pin(async {
        let mut listener = Listener::open(options.clone()).await.map_err(failed)?;
        check(&options, listener.connection().await.map_err(failed)?, must_be_durable).await?;
        listener.tune(channels).await.map_err(failed)?;
        Ok(listener)
    });
    within(OPEN_DEADLINE, opening).await.unwrap_or_else(|| Err(late(&options)))
}

fn with_settings(options: &PgConnectOptions, purpose: Purpose) -> PgConnectOptions {
    let options = options.clone().disable_statement_logging().options(SETTINGS).options(purpose.settings().to_vec());
    match options.get_application_name() {
        Some(_) => options,
        None => options.application_name("clawstore"),
    }
}

/// Checks what the session shows of the server.
async fn check(
    options: &PgConnectOptions,
    connection: &mut PgConnection,
    must_be_durable: bool,
) -> Result<Durability, OpenError> {
    let found = sqlx::query_file!("queries/read_session.sql").fetch_one(connection).await;
    let found = found.map_err(|error| open_error(options, error))?;
    if found.version < SERVER_VERSION_MIN {
        return Err(OpenError::ServerTooOld { found: found.version });
    }
    if found.encoding != "UTF8" {
        return Err(OpenError::Encoding { found: found.encoding });
    }
    // What it shows may be old, and it takes no writes.
    if found.standby {
        return Err(OpenError::Standby { server: server(options) });
    }
    let shown = Shown {
        fsync: found.fsync,
        full_page_writes: found.full_page_writes,
        synchronous_commit: found.synchronous_commit,
        standbys: found.standbys,
    };
    Durability::judge(&shown, must_be_durable)
}

fn server(options: &PgConnectOptions) -> String {
    let host = options.get_socket().map_or_else(|| options.get_host().to_owned(), |path| path.display().to_string());
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    // A list has the ports in it.
    if host.contains(',') { format!("{host}/{database}") } else { format!("{host}:{}/{database}", options.get_port()) }
}

/// Why a session was not opened, or a statement of opening failed.
pub(crate) fn open_error(options: &PgConnectOptions, error: sqlx::Error) -> OpenError {
    let detail = text(&error);
    let Some(code) = sqlstate(&error) else {
        return match error {
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => {
                OpenError::Unreachable { server: server(options), detail }
            }
            _ => OpenError::Other { detail },
        };
    };
    match code {
        "42501" | "25006" => OpenError::NoRights { role: options.get_username().to_owned(), detail },
        _ => match class(code) {
            "28" | "3D" => OpenError::Refused { server: server(options), detail },
            "08" | "53" | "57" => OpenError::Unreachable { server: server(options), detail },
            _ => OpenError::Other { detail },
        },
    }
}

#[cfg(test)]
mod plans;
