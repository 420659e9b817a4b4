//! Calls that look at versions and lists, and the one that removes a version.
//!
//! Owns: asking the backend, within the deadline of a call, under a permit. Does not own: what is asked (`core::ops::Look`),
//! reads of entries (`client`, `reads`): those have caches and owners, these have neither.

use std::sync::Arc;

use clawstore_core::backend::{
    Backend, BackendError, BackendErrorKind, Kept, KeyItem, KeyPlace, SortedItem, SortedQuery, VersionQuery,
};
use clawstore_core::budget::Charge;
use clawstore_core::clock::Timestamp;
use clawstore_core::entry::VersionId;
use clawstore_core::key_machine::Writer;
use clawstore_core::listing::{KeyList, KeyPage, Page};
use clawstore_core::ops::{CallResult, Look, Reply, Request};
use clawstore_core::scores::ScorePage;
use clawstore_core::{CallError, Entry, EntryKey, StoreId};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::admission::{Ceiling, Permit};
use crate::call_port::ReplyTo;
use crate::client::timeout_at;
use crate::game::{Counters, Game};
use crate::rates::{Meter, Metered};

const LATE: &str = "The store did not answer in time.";

impl Game {
    /// Looks, from a Rust task.
    ///
    /// # Errors
    /// As the same call of a script would raise.
    pub async fn look(self: &Arc<Self>, look: Look) -> CallResult {
        self.take_room(look.key(), &look.charge())?;
        let (reply, answer) = oneshot::channel();
        self.start_look(look, ReplyTo::Task(reply));
        answer.await.unwrap_or_else(|_| Err(CallError::internal()))
    }

    /// `RemoveVersionAsync`, from a Rust task.
    ///
    /// # Errors
    /// As the same call of a script would raise.
    pub async fn remove_version(self: &Arc<Self>, key: &EntryKey, id: VersionId) -> CallResult {
        self.take_room(Some(key), &Charge::of(key.store.kind, &Request::RemoveVersion(id)))?;
        let (reply, answer) = oneshot::channel();
        let writer = Writer { vm: self.new_vm(), op: 0 };
        self.start_remove_version(Ceiling::Holds, key, writer, self.clock.wall(), id, ReplyTo::Task(reply));
        answer.await.unwrap_or_else(|_| Err(CallError::internal()))
    }

    /// Looks; the answer goes to `reply`. Never waits.
    pub(crate) fn start_look(self: &Arc<Self>, look: Look, reply: ReplyTo) {
        let permit = match self.admit(look.charge()) {
            Ok(permit) => permit,
            Err((reason, error)) => return self.refuse(reason, error, reply),
        };
        let meter = look.key().cloned().zip(self.meter(Metered::Read));
        let mut port = LookPort::new(reply, Arc::clone(&self.counters), Some(permit), CallError::abandoned());
        port.meter = meter;
        let game = Arc::clone(self);
        self.runtime.spawn(async move {
            let late = || Err(CallError::unavailable(LATE));
            let result = timeout_at(Instant::now() + game.config.call_deadline, game.ask(look)).await;
            port.answer(result.unwrap_or_else(late));
        });
    }

    /// `RemoveVersionAsync`: in its place among the writes of the key, then where versions are. Synchronous; the end goes to
    /// `reply`.
    pub(crate) fn start_remove_version(
        self: &Arc<Self>,
        ceiling: Ceiling,
        key: &EntryKey,
        writer: Writer,
        at: Timestamp,
        id: VersionId,
        reply: ReplyTo,
    ) {
        let (in_order, erased) = oneshot::channel();
        self.submit_within(ceiling, key, writer, at, Request::RemoveVersion(id), ReplyTo::Stage(in_order));
        let lost = CallError::unknown("The server that made the request has closed.");
        let port = LookPort::new(reply, Arc::clone(&self.counters), None, lost);
        let (game, key) = (Arc::clone(self), key.clone());
        self.runtime.spawn(async move {
            let until = Instant::now() + game.config.call_deadline;
            // It has a deadline of its own, and knows what became of it.
            let result = match erased.await.unwrap_or_else(|_| Err(CallError::internal())) {
                Ok(_) => game.delete_version(key, id, until).await,
                refused => refused,
            };
            port.answer(result);
        });
    }

    /// The second stage. What fails here may have been done: if the version is the stored one, by the first stage.
    async fn delete_version(&self, key: EntryKey, id: VersionId, until: Instant) -> CallResult {
        let deleted = timeout_at(until, self.reader.backend().remove_version(key, id)).await;
        match deleted.unwrap_or_else(|| Err(BackendError::new(BackendErrorKind::Unknown, LATE))) {
            Ok(()) => Ok(Reply::Nothing),
            Err(error) => Err(CallError::unknown(error)),
        }
    }

    async fn ask(&self, look: Look) -> CallResult {
        let backend = self.reader.backend();
        let reply = match look {
            Look::Version(key, id) => {
                let kept = self.kept(&key.store);
                backend.read_version(key, id, kept).await.map(found)
            }
            Look::VersionAt(key, at) => {
                let kept = self.kept(&key.store);
                backend.read_version_at(key, at, kept).await.map(found)
            }
            Look::Versions(query) => {
                let kept = self.kept(&query.key.store);
                backend.list_versions(VersionQuery { kept, ..query }).await.map(Reply::Versions)
            }
            Look::Sorted(query) => backend.list_sorted(query).await.map(Reply::Sorted),
            Look::Scores(query, after) => list_scores(backend, query, after).await.map(Reply::Sorted),
            Look::Batch(keys) => {
                let entries = backend.read_entries(keys).await;
                entries.map(|entries| Reply::Entries(entries.into_iter().map(Arc::new).collect()))
            }
            Look::Keys(list) => {
                let kept = self.kept(&list.store);
                list_keys(backend, list, kept).await.map(Reply::Keys)
            }
            Look::Stores(list) => {
                let kept = self.config.versioning.kept_tombstones(self.clock.wall());
                let stores = backend.list_game_stores(list.question(kept)).await;
                stores.map(|stores| Reply::Stores(list.page(stores)))
            }
        };
        reply.map_err(CallError::unavailable)
    }

    /// What of a store's history is still kept now.
    fn kept(&self, store: &StoreId) -> Kept {
        self.config.versioning.kept(store, self.clock.wall())
    }
}

fn found(entry: Option<Entry>) -> Reply {
    Reply::Entry(Arc::new(entry.unwrap_or_default()))
}

async fn list_keys(backend: &dyn Backend, list: KeyList, kept: Kept) -> Result<Page<KeyItem, KeyPlace>, BackendError> {
    let mut page = KeyPage::new(list, kept);
    while let Some(range) = page.question() {
        page.take(backend.list_keys(range).await?);
    }
    Ok(page.into_page())
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
    /// Counts what a look at a key brings.
    meter: Option<(EntryKey, Meter)>,
    /// The answer if there comes none.
    lost: CallError,
}

impl LookPort {
    fn new(reply: ReplyTo, counters: Arc<Counters>, permit: Option<Permit>, lost: CallError) -> Self {
        counters.call_opened();
        Self { reply: Some(reply), counters, permit, meter: None, lost }
    }

    fn answer(mut self, result: CallResult) {
        self.end(result);
    }

    fn end(&mut self, result: CallResult) {
        if let Some(reply) = self.reply.take() {
            if let Some((key, meter)) = &self.meter {
                meter.ended(key, &result);
            }
            reply.end(result, &self.counters);
        }
    }
}

impl Drop for LookPort {
    fn drop(&mut self) {
        self.end(Err(self.lost.clone()));
        // A drain that finds nothing open finds every permit given back.
        drop(self.permit.take());
        self.counters.call_settled();
    }
}
