//! What a Postgres error means to the caller.
//!
//! Owns: the map from SQLSTATE, lost connections and missed deadlines to `BackendErrorKind`. Does not own: errors of
//! opening (`open_error`), retries (`core::lane`).
//!
//! An error that the server answered with is definite: the one statement was its whole transaction, and was rolled back.
//! A connection that was lost after something was sent tells nothing: the commit may still be on its way.

use clawstore_core::backend::{BackendError, BackendErrorKind};
use sqlx::postgres::PgDatabaseError;

use crate::open_error::OpenError;

/// How a call failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No session could be opened: nothing was sent.
    NotConnected(OpenError),
    /// The deadline passed; whether before anything was sent.
    Late { sent: bool },
    /// The statement was sent.
    Answered(sqlx::Error),
    /// It was done, but somebody cancelled the wait for the standby: it is gone if that one takes over.
    Cancelled,
}

impl Failure {
    /// Whether the session cannot be used again. One that is in doubt is not.
    pub(crate) fn ends_session(&self) -> bool {
        match self {
            Self::Answered(error) => !matches!(sqlstate(error).map(class), Some("22" | "23" | "40" | "54" | "55")),
            Self::NotConnected(_) | Self::Late { .. } => true,
            Self::Cancelled => false,
        }
    }

    /// Whether the session was found lost, so that a call that may be repeated should be, on a new one.
    pub(crate) fn is_lost_session(&self) -> bool {
        let Self::Answered(error) = self else { return false };
        match sqlstate(error) {
            // Ended by an operator or a shutdown, or on a server that takes no writes any more.
            Some(code) => matches!(code, "57P01" | "57P02" | "57P03" | "57P05" | "25006") || class(code) == "08",
            None => matches!(error, sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_)),
        }
    }

    /// Whether a change may have happened all the same.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.kind(true) == BackendErrorKind::Unknown
    }

    /// As the caller sees it. `commit`: it was a change, whose fate matters.
    pub(crate) fn backend_error(&self, doing: &str, commit: bool) -> BackendError {
        let kind = self.kind(commit);
        let fate = match kind {
            BackendErrorKind::Unknown => "may have happened",
            _ => "was not done",
        };
        match self {
            Self::NotConnected(error) => BackendError::new(kind, format_args!("{doing} {fate}: {error}")),
            Self::Late { sent: false } => BackendError::new(
                kind,
                format_args!("{doing} {fate}: the database did not take the connection in time"),
            ),
            Self::Late { sent: true } => {
                BackendError::new(kind, format_args!("{doing} {fate}: the database did not answer in time"))
            }
            Self::Cancelled => {
                BackendError::new(kind, format_args!("{doing} {fate}: the wait for the standby was cancelled"))
            }
            Self::Answered(error) => {
                let code = sqlstate(error).unwrap_or("connection");
                BackendError::new(kind, format_args!("{doing} {fate}: {} ({code})", text(error)))
            }
        }
    }

    fn kind(&self, commit: bool) -> BackendErrorKind {
        use BackendErrorKind::{Corrupt, Internal, Invalid, Unavailable, Unknown};
        let lost = if commit { Unknown } else { Unavailable };
        let error = match self {
            Self::NotConnected(_) | Self::Late { sent: false } => return Unavailable,
            Self::Late { sent: true } | Self::Cancelled => return lost,
            Self::Answered(error) => error,
        };
        let Some(code) = sqlstate(error) else {
            return match error {
                // An answer that cannot be read is an answer: what was asked for was done.
                sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) if !commit => Corrupt,
                sqlx::Error::Encode(_) => Invalid,
                _ => lost,
            };
        };
        match code {
            // Terminated or crashed, perhaps in the middle of its commit.
            "57P01" | "57P02" | "40003" => return lost,
            "57014" | "55P03" | "25006" => return Unavailable,
            // A row for which there is no partition: its making is late. A CHECK has a name.
            "23514" if constraint(error).is_none() => return Unavailable,
            "XX001" | "XX002" => return Corrupt,
            _ => {}
        }
        match class(code) {
            "22" | "23" | "54" => Invalid,
            "40" | "53" | "57" | "58" => Unavailable,
            "08" => lost,
            _ => Internal,
        }
    }
}

/// The code of an error that the server answered with.
pub(crate) fn sqlstate(error: &sqlx::Error) -> Option<&str> {
    error.as_database_error()?.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::code)
}

/// What the server said, without where in our statement.
pub(crate) fn text(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

/// The first two characters of a code.
pub(crate) fn class(code: &str) -> &str {
    code.get(..2).unwrap_or_default()
}

fn constraint(error: &sqlx::Error) -> Option<&str> {
    error.as_database_error()?.constraint()
}

#[cfg(test)]
mod tests;
