//! Calls that look at versions and lists.
//!
//! Owns: asking the backend, within the deadline of a call, under a permit. Does not own: what is asked (`core::ops::Look`),
//! reads of entries (`client`, `reads`): those have caches and owners, these have neither.

use std::sync::Arc;

use clawstore_core::backend::{Backend, BackendError, SortedItem, SortedQuery};
use clawstore_core::ops::{CallResult, Look, Reply};
use clawstore_core::scores::ScorePage;
use clawstore_core::{CallError, Entry};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::admission::Permit;
use crate::call_port::ReplyTo;
use crate::client::timeout_at;
use crate::game::{Counters, Game};

impl Game {
    /// Looks, from a Rust task.
    ///
    /// # Errors
    /// As the same call of a script would raise.
    pub async fn look(self: &Arc<Self>, look: Look) -> CallResult {
        let (reply, answer) = oneshot::channel();
        self.start_look(look, ReplyTo::Task(reply));
        answer.await.unwrap_or_else(|_| Err(CallError::internal()))
    }

    /// Looks; the answer goes to `reply`. Never waits.
    pub(crate) fn start_look(self: &Arc<Self>, look: Look, reply: ReplyTo) {
        let permit = match self.admit(look.charge()) {
            Ok(permit) => permit,
            Err((reason, error)) => return self.refuse(reason, error, reply),
        };
        let port = LookPort::new(reply, Arc::clone(&self.counters), permit);
        let game = Arc::clone(self);
        self.runtime.spawn(async move {
            let late = || Err(CallError::unavailable("The store did not answer in time."));
            let result = timeout_at(Instant::now() + game.config.call_deadline, game.ask(look)).await;
            port.answer(result.unwrap_or_else(late));
        });
    }

    async fn ask(&self, look: Look) -> CallResult {
        let backend = self.reader.backend();
        let reply = match look {
            Look::Version(key, id) => backend.read_version(key, id.revision).await.map(|entry| {
                // A revision of this number that has other times is another one: the key's history was replaced.
                let found = entry.filter(|entry| entry.version() == id);
                Reply::Entry(Arc::new(found.unwrap_or_else(Entry::default)))
            }),
            Look::Versions(query) => backend.list_versions(query).await.map(Reply::Versions),
            Look::Sorted(query) => backend.list_sorted(query).await.map(Reply::Sorted),
            Look::Scores(query, after) => list_scores(backend, query, after).await.map(Reply::Sorted),
        };
        reply.map_err(CallError::unavailable)
    }
}

async fn list_scores(
    backend: &dyn Backend,
    query: SortedQuery,
    after: Option<SortedItem>,
) -> Result<Vec<SortedItem>, BackendError> {
    let mut page = ScorePage::new(query, after);
    while let Some(question) = page.question() {
        page.take(backend.list_sorted(question).await?);
    }
    Ok(page.into_items())
}

/// The look's end of the line: answers exactly once, also when the task is dropped with its runtime.
struct LookPort {
    reply: Option<ReplyTo>,
    counters: Arc<Counters>,
    permit: Option<Permit>,
}

impl LookPort {
    fn new(reply: ReplyTo, counters: Arc<Counters>, permit: Permit) -> Self {
        counters.call_opened();
        Self { reply: Some(reply), counters, permit: Some(permit) }
    }

    fn answer(mut self, result: CallResult) {
        self.end(result);
    }

    fn end(&mut self, result: CallResult) {
        if let Some(reply) = self.reply.take() {
            self.counters.call_ended(&result);
            reply.send(result);
        }
    }
}

impl Drop for LookPort {
    fn drop(&mut self) {
        self.end(Err(CallError::abandoned()));
        // A drain that finds nothing open finds every permit given back.
        drop(self.permit.take());
        self.counters.call_settled();
    }
}
