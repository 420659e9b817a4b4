//! One connection that is used by one call at a time and opened when it is needed.
//!
//! Owns: waiting for one's turn, the deadline of a call, and that a session in doubt is never used again: while a call
//! runs, its future owns the session, so that a missed deadline and a dropped future both close it. Does not own: what is
//! asked (`commit`, `leases`, `reads`).

use std::future::Future;
use std::time::Duration;

use clawstore_core::backend::BackendError;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::sync::Mutex;

use crate::failure::Failure;
use crate::session::{self, Purpose};

/// What is asked of the database: one statement, and perhaps a look at stores before it.
pub(crate) trait Call: Sync {
    type Answer;

    fn run(&self, session: &mut PgConnection) -> impl Future<Output = Result<Self::Answer, sqlx::Error>> + Send;
}

/// See the module.
pub(crate) struct Link {
    options: PgConnectOptions,
    purpose: Purpose,
    must_be_durable: bool,
    session: Mutex<Option<PgConnection>>,
}

impl Link {
    pub(crate) fn new(options: &PgConnectOptions, purpose: Purpose, must_be_durable: bool) -> Self {
        Self { options: options.clone(), purpose, must_be_durable, session: Mutex::default() }
    }

    /// Asks what may be asked twice: a session that turns out to be lost is replaced, once.
    pub(crate) async fn ask<C: Call>(
        &self,
        doing: &str,
        deadline: Duration,
        call: &C,
    ) -> Result<C::Answer, BackendError> {
        let mut sent = false;
        let attempts = async {
            match self.attempt(&mut sent, call).await {
                Err(failure) if failure.is_lost_session() => self.attempt(&mut sent, call).await,
                result => result,
            }
        };
        let result = within(deadline, attempts).await.unwrap_or(Err(Failure::Late { sent }));
        result.map_err(|failure| failure.backend_error(doing, false))
    }

    /// Asks once: what is sent may take effect although no answer comes.
    pub(crate) async fn ask_once<C: Call>(&self, deadline: Duration, call: &C) -> Result<C::Answer, Failure> {
        let mut sent = false;
        let result = within(deadline, self.attempt(&mut sent, call)).await;
        result.unwrap_or(Err(Failure::Late { sent }))
    }

    /// Closes the session, if there is one, when the call that uses it is done.
    pub(crate) async fn close(&self) {
        if let Some(session) = self.session.lock().await.take() {
            // The server notices by itself if the good-bye does not arrive.
            let _ = sqlx::Connection::close(session).await;
        }
    }

    async fn attempt<C: Call>(&self, sent: &mut bool, call: &C) -> Result<C::Answer, Failure> {
        let mut place = self.session.lock().await;
        let mut session = match place.take() {
            Some(session) => session,
            None => {
                session::open(&self.options, self.purpose, self.must_be_durable).await.map_err(Failure::NotConnected)?.0
            }
        };
        *sent = true;
        let result = call.run(&mut session).await.map_err(Failure::Answered);
        if !result.as_ref().is_err_and(Failure::ends_session) {
            *place = Some(session);
        }
        result
    }
}

/// `None`: it was too late, and what was running is dropped.
#[expect(clippy::disallowed_methods, reason = "the deadline of a call on the database starts with the call")]
pub(crate) async fn within<T>(deadline: Duration, call: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(deadline, call).await.ok()
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}
