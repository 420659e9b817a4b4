//! Messages to other processes: NOTIFY and LISTEN on the connection of beats.
//!
//! Owns: the statement, its deadline, the session that listens. Does not own: what is in a payload (`core::messaging`), whose
//! turn it is on the connection (`link`).
//!
//! One channel for the messages of the database; payloads name their games. Hints have one for each process (`hints`). A pooler that gives each transaction another session does not
//! hand on what is notified: messages then stay in their process, and everything else goes on.

use std::time::Duration;

use clawstore_core::backend::{BackendFuture, CarryMessages, PayloadSink};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener, PgPool, PgPoolOptions};
use sqlx::{Acquire as _, Connection as _};
use tokio::runtime::Handle;

use crate::backend::PgBackend;
use crate::ears::Ears;
use crate::link::Call;

/// As in `queries/publish_messages.sql`.
const CHANNEL: &str = "clawstore";

/// Half of what a beat may take, so that one behind it on the connection is still in time.
const PUBLISH_DEADLINE: Duration = Duration::from_secs(1);

struct PublishMessages(Vec<String>);

impl Call for PublishMessages {
    type Answer = ();

    async fn run(&self, session: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query_file!("queries/publish_messages.sql", &self.0).execute(session).await?;
        Ok(())
    }
}

impl CarryMessages for PgBackend {
    fn publish(&self, payloads: Vec<String>) -> BackendFuture<'_, ()> {
        Box::pin(
            async move { self.control().ask("sending messages", PUBLISH_DEADLINE, &PublishMessages(payloads)).await },
        )
    }

    fn listen(&self, sink: PayloadSink) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move { self.control().listen(CHANNEL.to_owned(), sink).await })
    }
}

/// A session of the control connection.
pub(crate) enum Session {
    Plain(PgConnection),
    Listening(Listener),
}

impl Session {
    pub(crate) async fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        match self {
            Self::Plain(connection) => Ok(connection),
            Self::Listening(listener) => listener.connection().await,
        }
    }

    /// Takes leave. The server notices by itself if the good-bye does not arrive.
    pub(crate) async fn close(self) {
        match self {
            Self::Plain(connection) => drop(connection.close().await),
            Self::Listening(listener) => listener.close().await,
        }
    }
}

/// A session that hears what is notified.
pub(crate) struct Listener {
    /// Of this one connection: the driver listens in no other way.
    pool: PgPool,
    /// `None` once it is closed.
    listener: Option<PgListener>,
    channels: Vec<String>,
    /// The driver takes leave in a task, wherever this is dropped.
    runtime: Handle,
}

impl Listener {
    /// Opens a connection to a server that was reachable just now, and listens. `prepare` runs on it first.
    pub(crate) async fn open(options: PgConnectOptions) -> Result<Self, sqlx::Error> {
        let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let pool = pool.connect_lazy_with(options);
        let mut listener = PgListener::connect_with(&pool).await?;
        // A lost one is opened by `link`, which checks the server.
        listener.eager_reconnect(false);
        listener.ignore_pool_close_event(true);
        Ok(Self { pool, listener: Some(listener), channels: Vec::new(), runtime: Handle::current() })
    }

    /// Listens on these channels from now on, and on no others.
    pub(crate) async fn tune(&mut self, channels: Vec<String>) -> Result<(), sqlx::Error> {
        let before = std::mem::take(&mut self.channels);
        let listener = self.open_listener()?;
        for channel in before.iter().filter(|channel| !channels.contains(channel)) {
            listener.unlisten(channel).await?;
        }
        for channel in channels.iter().filter(|channel| !before.contains(channel)) {
            listener.listen(channel).await?;
        }
        self.channels = channels;
        Ok(())
    }

    pub(crate) async fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        self.open_listener()?.acquire().await
    }

    /// What has arrived while calls were answered.
    pub(crate) fn hear_buffered(&mut self, ears: &Ears) {
        while let Some(notification) = self.listener.as_mut().and_then(PgListener::next_buffered) {
            ears.take(notification.channel(), notification.payload());
        }
    }

    /// Hears until the connection is lost. May be dropped at any time.
    pub(crate) async fn hear(&mut self, ears: &Ears) {
        let Ok(listener) = self.open_listener() else { return };
        while let Ok(Some(notification)) = listener.try_recv().await {
            ears.take(notification.channel(), notification.payload());
        }
    }

    fn open_listener(&mut self) -> Result<&mut PgListener, sqlx::Error> {
        self.listener.as_mut().ok_or(sqlx::Error::PoolClosed)
    }

    async fn close(mut self) {
        let closed = self.pool.clone();
        let closed = closed.close();
        self.listener = None;
        closed.await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The connection goes, and not back to the pool.
        drop(self.pool.close());
        let _context = self.runtime.enter();
        self.listener = None;
    }
}
