//! The storage seam: what a backend must do, one call per batch.
//!
//! Owns: the role traits, the batch and its outcome, and the kinds of failure with what each asks of the caller.
//! Does not own: SQL, connections, retries (`lane`), caches. Implemented by the SQLite backend and by the memory
//! backend of the test kit; `Backend` is all roles.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::entry::Entry;
use crate::entry_key::{EntryKey, StoreId};

/// A boxed future: one per batch or list call, so its allocation does not show.
pub type BackendFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, BackendError>> + Send + 'a>>;

/// Reads entries as they are durable now.
pub trait ReadEntries: Send + Sync {
    /// One entry per key, in order; [`Entry::default`] for a key that was never written.
    fn read_entries(&self, keys: Vec<EntryKey>) -> BackendFuture<'_, Vec<Entry>>;
}

/// Makes batches durable.
pub trait CommitBatches: Send + Sync {
    /// Commits all rows whose base still holds, in one transaction, and returns one outcome per row, in order.
    /// Durable when it returns. The same `seq` with the same digest again returns the first answer and applies
    /// nothing (I7).
    fn commit_batch(&self, batch: Arc<Batch>) -> BackendFuture<'_, Vec<RowOutcome>>;
}

/// Lists what is stored.
pub trait ScanEntries: Send + Sync {
    /// Stores of any game, with their scopes, in order.
    fn list_stores(&self) -> BackendFuture<'_, Vec<StoreId>>;
    /// Live keys of a store after `after` in byte order, at most `limit`.
    fn list_keys(&self, store: Arc<StoreId>, after: Option<Arc<str>>, limit: usize)
    -> BackendFuture<'_, Vec<EntryKey>>;
}

/// All roles of a storage backend.
pub trait Backend: ReadEntries + CommitBatches + ScanEntries + fmt::Debug {}

/// Rows that commit together, under a number that is used once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Number of the batch in its lane: grows by one with every batch that committed (I7).
    pub seq: u64,
    /// Digest of the rows: the same number with another digest is a fault.
    pub digest: u64,
    /// At most one row per key (`ownership-protocol.md` A21).
    pub rows: Vec<BatchRow>,
}

/// The newest state of one key, to be written if `base` still holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRow {
    /// Which key.
    pub key: EntryKey,
    /// The revision that must be stored now (0: none); else the row is [`RowOutcome::Fenced`] (I5).
    pub base: u64,
    /// Copy the stored revision to the versions before it is overwritten.
    pub keep_previous: bool,
    /// Revisions between base and entry that become versions too, oldest first.
    pub kept: Vec<Arc<Entry>>,
    /// The state to write. Its revision is greater than `base`.
    pub entry: Arc<Entry>,
}

/// What became of one row of a batch that committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowOutcome {
    /// Durable.
    Committed,
    /// The stored revision was not the base: somebody else wrote. Nothing of the row was applied.
    Fenced,
}

/// What a failed backend call asks of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BackendErrorKind {
    /// Not applied; the same may succeed later (busy, disk full, connection refused).
    Unavailable,
    /// Not applied, and never will be: something in the batch is not acceptable.
    Invalid,
    /// Not applied: what is stored cannot be read.
    Corrupt,
    /// May have been applied: settle it by sending the identical batch again.
    Unknown,
    /// May have been applied, and this backend will not work again until it is reopened (an fsync error).
    Halted,
    /// Not applied: a fault in the backend itself.
    Internal,
}

/// Why a backend call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BackendError {
    /// What to do about it.
    pub kind: BackendErrorKind,
    /// For people.
    pub message: String,
}

impl BackendError {
    /// An error of a kind.
    pub fn new(kind: BackendErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string() }
    }
}
