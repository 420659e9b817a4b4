//! One connection that is used by one call at a time and opened when it is needed.
//!
//! Owns: waiting for one's turn, the deadline of a call, and that a session in doubt is never used again: while a call
//! runs, its future owns the session, so that a missed deadline and a dropped future both close it; that nothing is shown
//! before the standby has it, where commits wait for one; between calls, hearing what is notified. Does not own: what is
//! asked (`commit`, `leases`, `reads`), how a session listens (`messages`).

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clawstore_core::backend::{BackendError, PayloadSink};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::sync::{Mutex, MutexGuard, Notify};

use crate::ears::Ears;
use crate::failure::Failure;
use crate::messages::Session;
use crate::notices;
use crate::open_error::OpenError;
use crate::session::{self, Purpose};

/// What is asked of the database: one statement, and perhaps a look at stores before it.
pub(crate) trait Call: Sync {
    type Answer;

    fn run(&self, session: &mut PgConnection) -> impl Future<Output = Result<Self::Answer, sqlx::Error>> + Send;

    /// Whether the answer shows what is stored, to whoever asked. A standby that takes over may not have it yet: it was committed
    /// by somebody who still waits, or whose wait was cancelled (`ownership-protocol.md` A18).
    fn shows(&self, _: &Self::Answer) -> bool {
        false
    }
}

/// Does a commit wait for a standby, as the server's settings were when they were last seen? Shared by the connections of a
/// process.
pub(crate) type Waiting = Arc<AtomicBool>;

/// See the module.
pub(crate) struct Link {
    options: PgConnectOptions,
    purpose: Purpose,
    must_be_durable: bool,
    waiting: Waiting,
    session: Mutex<Option<Session>>,
    /// Whoever listens lets a call have the session.
    wanted: Notify,
    /// What is notified, and who takes it. Sessions listen if there is anyone.
    ears: Ears,
    /// One listens for all.
    listening: Mutex<()>,
}

/// Deadline of a call that looks at every key of a game: its statements have 60 s each, and operators wait.
const GAME_DEADLINE: Duration = Duration::from_secs(65);

/// Between two attempts to open a session to listen on. A beat may open one sooner.
const LISTEN_PAUSE: Duration = Duration::from_secs(1);

impl Link {
    pub(crate) fn new(options: &PgConnectOptions, purpose: Purpose, must_be_durable: bool, waiting: &Waiting) -> Self {
        Self {
            options: options.clone(),
            purpose,
            must_be_durable,
            waiting: Arc::clone(waiting),
            session: Mutex::default(),
            wanted: Notify::new(),
            ears: Ears::default(),
            listening: Mutex::default(),
        }
    }

    /// Whether a commit waits for a standby, from now on: of all connections that share this.
    pub(crate) fn set_waiting(&self, waiting: bool) {
        self.waiting.store(waiting, Ordering::Release);
    }

    /// Asks what may be asked twice: a session that turns out to be lost is replaced, once.
    pub(crate) async fn ask<C: Call>(
        &self,
        doing: &str,
        deadline: Duration,
        call: &C,
    ) -> Result<C::Answer, BackendError> {
        self.ask_twice(deadline, call, false).await.map_err(|failure| failure.backend_error(doing, false))
    }

    /// The same for a change whose fate matters: it may have happened, unless every attempt is known not to have done it.
    pub(crate) async fn ask_for_change<C: Call>(
        &self,
        doing: &str,
        deadline: Duration,
        call: &C,
    ) -> Result<C::Answer, BackendError> {
        self.ask_twice(deadline, call, true).await.map_err(|failure| failure.backend_error(doing, true))
    }

    async fn ask_twice<C: Call>(&self, deadline: Duration, call: &C, is_change: bool) -> Result<C::Answer, Failure> {
        let mut sent = false;
        let attempts = async {
            match self.attempt(&mut sent, call).await {
                Err(first) if first.is_lost_session() => {
                    // A second failure is no news of the first attempt.
                    let in_doubt = is_change && first.is_in_doubt();
                    self.attempt(&mut sent, call).await.map_err(|second| if in_doubt { first } else { second })
                }
                result => result,
            }
        };
        within(deadline, attempts).await.unwrap_or(Err(Failure::Late { sent }))
    }

    /// Asks once for a change of a whole game, over a session of its own: nobody waits behind it, and it is never one that was lost
    /// long ago. What is sent may take effect although no answer comes.
    pub(crate) async fn ask_about_game<C: Call>(&self, doing: &str, call: &C) -> Result<C::Answer, BackendError> {
        let link = Self::new(&self.options, Purpose::Games, self.must_be_durable, &self.waiting);
        let result = link.ask_once(GAME_DEADLINE, call).await;
        link.close().await;
        result.map_err(|failure| failure.backend_error(doing, true))
    }

    /// Asks once: what is sent may take effect although no answer comes.
    pub(crate) async fn ask_once<C: Call>(&self, deadline: Duration, call: &C) -> Result<C::Answer, Failure> {
        let mut sent = false;
        let result = within(deadline, self.attempt(&mut sent, call)).await;
        result.unwrap_or(Err(Failure::Late { sent }))
    }

    /// Hands what is notified on a channel to `sink`, in order, for ever. Calls come first.
    pub(crate) async fn listen(&self, channel: String, sink: PayloadSink) {
        let _place = self.ears.add(channel, sink);
        // Whoever listens now begins anew, with this channel too.
        self.wanted.notify_one();
        let _turn = self.listening.lock().await;
        loop {
            let mut place = self.session.lock().await;
            self.tune(&mut place).await;
            let opened = tokio::select! {
                biased;
                () = self.wanted.notified() => Ok(()),
                opened = self.hear(&mut place) => opened,
            };
            drop(place);
            if let Err(error) = opened {
                tracing::debug!(%error, "nothing that others notify is heard");
                pause().await;
            }
        }
    }

    /// Has the session hear what is to be heard now. One that fails at it is not used again.
    async fn tune(&self, place: &mut Option<Session>) {
        match place.take() {
            Some(Session::Listening(mut listener)) => {
                listener.hear_buffered(&self.ears);
                if listener.tune(self.ears.channels()).await.is_ok() {
                    *place = Some(Session::Listening(listener));
                }
            }
            other => *place = other,
        }
    }

    /// Hears until the session is lost; opens one if there is none that listens.
    async fn hear(&self, place: &mut Option<Session>) -> Result<(), OpenError> {
        if let Some(Session::Listening(listener)) = place {
            listener.hear(&self.ears).await;
        }
        if let Some(Session::Plain(plain)) = place.take() {
            Session::Plain(plain).close().await;
        }
        *place = Some(self.open().await?);
        Ok(())
    }

    /// Closes the session, if there is one, when the call that uses it is done.
    pub(crate) async fn close(&self) {
        if let Some(session) = self.turn().await.take() {
            session.close().await;
        }
    }

    /// Waits in line, and says so to whoever listens: in this order, or it could take the session again before.
    async fn turn(&self) -> MutexGuard<'_, Option<Session>> {
        tokio::join!(biased; self.session.lock(), async { self.wanted.notify_one() }).0
    }

    async fn open(&self) -> Result<Session, OpenError> {
        let channels = self.ears.channels();
        if !channels.is_empty() {
            let opening = session::open_listening(&self.options, self.purpose, self.must_be_durable, channels);
            return Box::pin(opening).await.map(Session::Listening);
        }
        let (plain, durability) = session::open(&self.options, self.purpose, self.must_be_durable).await?;
        self.set_waiting(durability.waits_for_standby());
        Ok(Session::Plain(plain))
    }

    async fn run<C: Call>(&self, session: &mut Session, call: &C) -> Result<C::Answer, Failure> {
        let waits = self.waiting.load(Ordering::Acquire);
        let asked = async {
            let session = session.connection().await?;
            let answer = call.run(session).await?;
            if waits && call.shows(&answer) {
                confirm(session).await?;
            }
            Ok(answer)
        };
        // Where nothing is waited for, nothing is cancelled.
        let (answer, was_cancelled) = if waits { notices::hear(asked).await } else { (asked.await, false) };
        match answer {
            Ok(_) if was_cancelled => Err(Failure::Cancelled),
            answer => answer.map_err(Failure::Answered),
        }
    }

    async fn attempt<C: Call>(&self, sent: &mut bool, call: &C) -> Result<C::Answer, Failure> {
        let mut place = self.turn().await;
        let mut session = match place.take() {
            Some(session) => session,
            None => self.open().await.map_err(Failure::NotConnected)?,
        };
        *sent = true;
        let result = self.run(&mut session, call).await;
        if !result.as_ref().is_err_and(Failure::ends_session) {
            *place = Some(session);
        }
        result
    }
}

/// Commits something, behind everything that the session has seen: answered when the standby has that too.
async fn confirm(session: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query_file!("queries/confirm.sql").fetch_one(session).await?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the server cannot be reached, and nobody says when it can")]
async fn pause() {
    tokio::time::sleep(LISTEN_PAUSE).await;
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
