//! A backend that does as the test says: waits, fails, loses replies.
//!
//! Owns: faults in front of any backend, and signals for tests to wait on instead of sleeping. Does not own: what is
//! stored; that is the backend behind it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clawstore_core::backend::{
    Backend, BackendError, BackendErrorKind, BackendFuture, Batch, CarryMessages, CommitBatches, HoldLeases, Kept,
    KeyItem, KeyRange, ReadEntries, RowOutcome, ScanEntries, SortedItem, SortedQuery, StoreInfo, StoresQuery,
    VersionInfo, VersionQuery,
};
use clawstore_core::clock::Timestamp;
use clawstore_core::entry::VersionId;
use clawstore_core::{Entry, EntryKey, StoreId};
use tokio::sync::watch;

use crate::message_line::MessageLine;

type Poison = Arc<dyn Fn(&EntryKey) -> bool + Send + Sync>;

/// See the module. Without instructions it passes everything through. Clones share instructions and counters.
#[derive(Clone)]
pub struct GatedBackend {
    inner: Arc<dyn Backend>,
    line: Option<MessageLine>,
    plan: Arc<Mutex<Plan>>,
    commits_open: Arc<watch::Sender<bool>>,
    reads_open: Arc<watch::Sender<bool>>,
    commits_started: Arc<watch::Sender<u64>>,
    commits_finished: Arc<watch::Sender<u64>>,
    reads_started: Arc<watch::Sender<u64>>,
}

#[derive(Default)]
struct Plan {
    delay: Duration,
    commit_faults: VecDeque<Fault>,
    read_faults: VecDeque<BackendErrorKind>,
    poison: Option<Poison>,
    batches: Vec<Arc<Batch>>,
    keys_read: u64,
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Nothing reaches the backend.
    Refuse(BackendErrorKind),
    /// The backend does it, the caller is told that nobody knows.
    LoseReply,
}

impl GatedBackend {
    /// Stands in front of `inner`.
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        Self {
            inner,
            line: None,
            plan: Arc::default(),
            commits_open: Arc::new(watch::Sender::new(true)),
            reads_open: Arc::new(watch::Sender::new(true)),
            commits_started: Arc::default(),
            commits_finished: Arc::default(),
            reads_started: Arc::default(),
        }
    }

    /// Carries messages over `line`.
    #[must_use]
    pub fn with_messages(mut self, line: &MessageLine) -> Self {
        self.line = Some(line.clone());
        self
    }

    /// Commits wait from now on, until [`release`](Self::release).
    pub fn hold(&self) {
        self.commits_open.send_replace(false);
    }

    /// Lets held commits and all later ones through.
    pub fn release(&self) {
        self.commits_open.send_replace(true);
    }

    /// Reads of entries, versions and lists wait from now on, until [`release_reads`](Self::release_reads).
    pub fn hold_reads(&self) {
        self.reads_open.send_replace(false);
    }

    /// Lets held reads and all later ones through.
    pub fn release_reads(&self) {
        self.reads_open.send_replace(true);
    }

    /// Every commit takes this much longer from now on; zero takes it back. Needs a tokio runtime with time, and follows
    /// its paused time.
    pub fn hold_commits(&self, delay: Duration) {
        self.plan().delay = delay;
    }

    /// The next `n` commits fail without being applied, whatever the kind says.
    pub fn fail_commits(&self, n: usize, kind: BackendErrorKind) {
        self.plan().commit_faults.extend(std::iter::repeat_n(Fault::Refuse(kind), n));
    }

    /// The next `n` commits are applied and reported as [`BackendErrorKind::Unknown`].
    pub fn lose_replies(&self, n: usize) {
        self.plan().commit_faults.extend(std::iter::repeat_n(Fault::LoseReply, n));
    }

    /// The next `n` reads of entries, versions or lists fail.
    pub fn fail_reads(&self, n: usize, kind: BackendErrorKind) {
        self.plan().read_faults.extend(std::iter::repeat_n(kind, n));
    }

    /// A batch with a row whose key matches fails as a whole, as `Invalid`: what a database does with a row it cannot
    /// take.
    pub fn poison(&self, matches: impl Fn(&EntryKey) -> bool + Send + Sync + 'static) {
        self.plan().poison = Some(Arc::new(matches));
    }

    /// Forgets poison, delay and planned faults, and releases what is held.
    pub fn heal(&self) {
        let mut plan = self.plan();
        plan.poison = None;
        plan.delay = Duration::ZERO;
        plan.commit_faults.clear();
        plan.read_faults.clear();
        drop(plan);
        self.release();
        self.release_reads();
    }

    /// How many commits have been asked for.
    pub fn commits_started(&self) -> watch::Receiver<u64> {
        self.commits_started.subscribe()
    }

    /// How many commits have been answered, faults included.
    pub fn commits_finished(&self) -> watch::Receiver<u64> {
        self.commits_finished.subscribe()
    }

    /// How many reads of entries, versions and lists have been asked for (one read may be of many keys).
    pub fn reads_started(&self) -> watch::Receiver<u64> {
        self.reads_started.subscribe()
    }

    /// Waits until at least `n` commits have been asked for, held ones included.
    pub async fn wait_commits_started(&self, n: u64) {
        reach(self.commits_started(), n).await;
    }

    /// Waits until at least `n` commits have been answered.
    pub async fn wait_commits_finished(&self, n: u64) {
        reach(self.commits_finished(), n).await;
    }

    /// Waits until at least `n` reads of entries, versions and lists have been asked for, held ones included.
    pub async fn wait_reads_started(&self, n: u64) {
        reach(self.reads_started(), n).await;
    }

    /// Every batch that was asked for, in order, repeated ones included.
    pub fn batches(&self) -> Vec<Arc<Batch>> {
        self.plan().batches.clone()
    }

    /// How many keys the reads so far asked for.
    pub fn keys_read(&self) -> u64 {
        self.plan().keys_read
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes a read, or fails it.
    async fn read(&self, keys: u64) -> Result<(), BackendError> {
        let fault = {
            let mut plan = self.plan();
            plan.keys_read += keys;
            plan.read_faults.pop_front()
        };
        self.reads_started.send_modify(|count| *count += 1);
        wait_open(&self.reads_open).await;
        fault.map_or(Ok(()), |kind| Err(BackendError::new(kind, format_args!("planned failure: {kind:?}"))))
    }

    /// Passes a look at versions or lists, or fails it.
    fn look<'a, T: 'a>(
        &'a self,
        ask: impl FnOnce(&'a dyn Backend) -> BackendFuture<'a, T> + Send + 'a,
    ) -> BackendFuture<'a, T> {
        Box::pin(async move {
            self.read(0).await?;
            ask(&*self.inner).await
        })
    }

    async fn commit(&self, batch: Arc<Batch>) -> Result<Vec<RowOutcome>, BackendError> {
        let (fault, poison, delay) = {
            let mut plan = self.plan();
            plan.batches.push(Arc::clone(&batch));
            (plan.commit_faults.pop_front(), plan.poison.clone(), plan.delay)
        };
        // After the plan was read: a test that has seen the signal may change the plan for the next one.
        self.commits_started.send_modify(|count| *count += 1);
        wait_open(&self.commits_open).await;
        if !delay.is_zero() {
            slow(delay).await;
        }
        if let Some(Fault::Refuse(kind)) = fault {
            return Err(BackendError::new(kind, format_args!("planned failure: {kind:?}")));
        }
        if let Some(row) = poison.and_then(|matches| batch.rows.iter().find(|row| matches(&row.key))) {
            return Err(BackendError::new(BackendErrorKind::Invalid, format_args!("poisoned row: {}", row.key)));
        }
        let answer = self.inner.commit_batch(batch).await;
        match fault {
            Some(_) => Err(BackendError::new(BackendErrorKind::Unknown, "planned loss of the reply")),
            None => answer,
        }
    }
}

async fn wait_open(gate: &watch::Sender<bool>) {
    // The gate lives as long as the backend that waits here, so this cannot fail.
    let _ = gate.subscribe().wait_for(|open| *open).await;
}

/// A slow disk: the one place where time itself is what a test asks for.
#[expect(clippy::disallowed_methods, reason = "the delay is the fault, not a wait for something")]
async fn slow(delay: Duration) {
    tokio::time::sleep(delay).await;
}

async fn reach(mut counter: watch::Receiver<u64>, n: u64) {
    let _ = counter.wait_for(|count| *count >= n).await;
}

impl ReadEntries for GatedBackend {
    fn read_entries(&self, keys: Vec<EntryKey>) -> BackendFuture<'_, Vec<Entry>> {
        Box::pin(async move {
            self.read(keys.len() as u64).await?;
            self.inner.read_entries(keys).await
        })
    }
}

impl CommitBatches for GatedBackend {
    fn lanes(&self) -> u16 {
        self.inner.lanes()
    }

    fn commit_batch(&self, batch: Arc<Batch>) -> BackendFuture<'_, Vec<RowOutcome>> {
        Box::pin(async move {
            let answer = self.commit(batch).await;
            self.commits_finished.send_modify(|count| *count += 1);
            answer
        })
    }
}

impl ScanEntries for GatedBackend {
    fn list_stores(&self) -> BackendFuture<'_, Vec<StoreId>> {
        self.inner.list_stores()
    }

    fn list_game_stores(&self, query: StoresQuery) -> BackendFuture<'_, Vec<StoreInfo>> {
        self.look(move |inner| inner.list_game_stores(query))
    }

    fn list_keys(&self, range: KeyRange) -> BackendFuture<'_, Vec<KeyItem>> {
        self.look(move |inner| inner.list_keys(range))
    }

    fn read_version(&self, key: EntryKey, id: VersionId, kept: Kept) -> BackendFuture<'_, Option<Entry>> {
        self.look(move |inner| inner.read_version(key, id, kept))
    }

    fn read_version_at(&self, key: EntryKey, at: Timestamp, kept: Kept) -> BackendFuture<'_, Option<Entry>> {
        self.look(move |inner| inner.read_version_at(key, at, kept))
    }

    fn list_versions(&self, query: VersionQuery) -> BackendFuture<'_, Vec<VersionInfo>> {
        self.look(move |inner| inner.list_versions(query))
    }

    fn list_sorted(&self, query: SortedQuery) -> BackendFuture<'_, Vec<SortedItem>> {
        self.look(move |inner| inner.list_sorted(query))
    }
}

crate::delegate! { ExpireHistory, ManageGames for GatedBackend, via inner }

impl Backend for GatedBackend {
    fn leases(&self) -> Option<&dyn HoldLeases> {
        self.inner.leases()
    }

    fn messages(&self) -> Option<&dyn CarryMessages> {
        self.line.as_ref().map(|line| line as &dyn CarryMessages)
    }
}

impl fmt::Debug for GatedBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatedBackend").field("inner", &self.inner).finish_non_exhaustive()
    }
}
