//! The storage seam: what a backend must do, one call per batch.
//!
//! Owns: the role traits, the batch and its outcome, leases as they are asked for and given, and the kinds of failure with
//! what each asks of the caller; lists are in `scan`, whole games in `games`. Does not own: SQL, connections, retries (`lane`), who should own what
//! (`lease`), caches.
//! Implemented by the Postgres and SQLite backends and by the memory backend of the test kit; `Backend` is all roles.

mod games;
mod scan;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub use games::{Deletion, ExpireHistory, ManageGames, Restoration, Snapshot, StoreCutoff, Sweep};
pub use scan::{
    BEHIND_ANY_NAME, Kept, KeyItem, KeyPlace, KeyRange, ScanEntries, SortedItem, SortedQuery, StoreInfo, StoresQuery,
    VersionInfo, VersionQuery,
};

use crate::entry::Entry;
use crate::entry_key::EntryKey;

/// A boxed future: one per batch or list call, so its allocation does not show.
pub type BackendFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, BackendError>> + Send + 'a>>;

/// Reads entries as they are durable now.
pub trait ReadEntries: Send + Sync {
    /// One entry per key, in order; [`Entry::default`] for a key that was never written.
    fn read_entries(&self, keys: Vec<EntryKey>) -> BackendFuture<'_, Vec<Entry>>;
}

/// Makes batches durable.
pub trait CommitBatches: Send + Sync {
    /// How many lanes may have a batch in flight at once. A key is in one batch at most (I8).
    fn lanes(&self) -> u16 {
        1
    }

    /// Commits all rows whose fence and base still hold, in one transaction, and returns one outcome per row, in order.
    /// Durable when it returns. The same `seq` of the same lane with the same digest again returns the first answer and
    /// applies nothing (I7).
    fn commit_batch(&self, batch: Arc<Batch>) -> BackendFuture<'_, Vec<RowOutcome>>;
}

/// Says who owns a key, where several processes share one store (`ownership-protocol.md` §2).
pub trait HoldLeases: Send + Sync {
    /// Makes a new incarnation known as alive, with its lanes, each at batch number 0. The same again changes nothing.
    fn join(&self, incarnation: Incarnation) -> BackendFuture<'_, ()>;
    /// Says that the incarnation is alive, and asks how those do whom it watches. Loses nothing if it is not durable.
    fn beat(&self, beat: Beat) -> BackendFuture<'_, BeatAnswer>;
    /// Declares dead, for ever, those whose count of beats is still what was seen (I9); `by` must be alive itself.
    fn declare_dead(&self, by: Incarnation, seen: Vec<Peer>) -> BackendFuture<'_, ()>;
    /// Asks for the lease of keys, one answer each, in order. Waits for nobody. The same fence again gives the same
    /// answer. A key that another holds is marked as wanted. [`BackendErrorKind::Over`] if `by` is not alive.
    fn acquire(&self, by: Incarnation, requests: Vec<LeaseRequest>) -> BackendFuture<'_, Vec<LeaseAnswer>>;
    /// Gives leases back. One whose fence is not the key's any more is left alone.
    fn release(&self, leases: Vec<LeaseRequest>) -> BackendFuture<'_, ()>;
    /// The incarnation ends in order: all its leases are free (I9).
    fn leave(&self, incarnation: Incarnation) -> BackendFuture<'_, ()>;
}

/// Takes a payload that has arrived.
pub type PayloadSink = Box<dyn Fn(&str) + Send + Sync>;

/// Carries messages between the processes that share a store. Best effort: what nobody hears at the moment is lost.
pub trait CarryMessages: Send + Sync {
    /// Sends payloads of at most [`PAYLOAD_BYTES_MAX`](crate::messaging::PAYLOAD_BYTES_MAX) bytes, in order, to every process
    /// that listens, this one too. May take effect although it fails, and twice.
    fn publish(&self, payloads: Vec<String>) -> BackendFuture<'_, ()>;
    /// Hands each payload that arrives to `sink`, in order, for ever: a connection that is lost is opened again.
    fn listen(&self, sink: PayloadSink) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// All roles of a storage backend.
pub trait Backend: ReadEntries + CommitBatches + ScanEntries + ExpireHistory + ManageGames + fmt::Debug {
    /// Leases, if several processes may share the store; `None` if whoever opened it owns every key.
    fn leases(&self) -> Option<&dyn HoldLeases> {
        None
    }

    /// Messages to other processes; `None` if there are none, or none that could be reached.
    fn messages(&self) -> Option<&dyn CarryMessages> {
        None
    }
}

/// One start of one process: a random number of 63 bits, never used again. 0 where there are no leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Incarnation(pub u64);

impl Incarnation {
    /// From random bits.
    pub const fn from_bits(bits: u128) -> Self {
        Self(positive(bits))
    }
}

/// Token of one acquisition of one key: a random number of 63 bits, written into the row with it and asked for by every
/// write (I6). 0 where there are no leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Fence(pub u64);

impl Fence {
    /// From random bits.
    pub const fn from_bits(bits: u128) -> Self {
        Self(positive(bits))
    }
}

/// 63 bits, never 0: databases have no unsigned numbers, and 0 means none.
#[expect(clippy::cast_possible_truncation, reason = "the low bits are as random as the others")]
const fn positive(bits: u128) -> u64 {
    match bits as u64 >> 1 {
        0 => 1,
        number => number,
    }
}

/// One stream of batches of an incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LaneId {
    /// Whose.
    pub incarnation: Incarnation,
    /// From 0 to [`CommitBatches::lanes`] - 1.
    pub number: u16,
}

/// Another process, as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Who.
    pub incarnation: Incarnation,
    /// How often it has said that it is alive. A counter, not a time (`ownership-protocol.md` A5).
    pub beats: u64,
}

/// "I am alive".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// Who.
    pub incarnation: Incarnation,
    /// Whose counters to return, beside those of the next three incarnations in the order of numbers.
    pub watch: Vec<Incarnation>,
}

/// The answer to a beat.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BeatAnswer {
    /// It has not been declared dead.
    pub alive: bool,
    /// Those of the watched ones, and of the next three, who are alive.
    pub peers: Vec<Peer>,
    /// Leases of this incarnation that others wait for; not all if there are very many.
    pub wanted: Vec<LeaseRequest>,
}

/// A key with the fence that it is asked for or given back with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRequest {
    /// Which key.
    pub key: EntryKey,
    /// Drawn by who asks, so that the answer to a repeated request is known as its own.
    pub fence: Fence,
}

/// The answer to a [`LeaseRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseAnswer {
    /// The key is owned under the fence that was asked with; this is its durable state now (A2).
    Granted(Entry),
    /// Another incarnation, believed alive, owns the key. It will see that the key is wanted.
    Held(Peer),
    /// The row is locked at this moment. Ask again.
    Busy,
}

/// Rows that commit together, under a number that is used once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// In which lane.
    pub lane: LaneId,
    /// Number of the batch in its lane: grows by one with every batch that committed (I7).
    pub seq: u64,
    /// Digest of the rows: the same number with another digest is a fault.
    pub digest: u64,
    /// At most one row per key (`ownership-protocol.md` A21).
    pub rows: Vec<BatchRow>,
}

/// The newest state of one key, to be written if `fence` and `base` still hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRow {
    /// Which key.
    pub key: EntryKey,
    /// The fence under which the key is owned; else the row is [`RowOutcome::Fenced`] (I6).
    pub fence: Fence,
    /// The revision that must be stored now (0: none); else the row is [`RowOutcome::Fenced`] (I5).
    pub base: u64,
    /// Is the stored revision copied to the versions before it is overwritten?
    pub previous: Previous,
    /// Revisions between base and entry that become versions too, oldest first.
    pub kept: Vec<Arc<Entry>>,
    /// The state to write. Its revision is greater than `base`.
    pub entry: Arc<Entry>,
}

/// What becomes of the revision that a write supersedes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Previous {
    /// It is not kept, unless a snapshot of the game wants it: [`ManageGames::take_snapshot`].
    #[default]
    Overwritten,
    /// It becomes a version.
    Kept,
    /// It is gone for good, snapshot or not: its removal was asked for (`RemoveVersionAsync`).
    Erased,
}

/// What became of one row of a batch that committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowOutcome {
    /// Durable.
    Committed,
    /// Durable, and another process waits for the key.
    Wanted,
    /// The fence or the stored revision was another: somebody else owns or wrote the key. Nothing of the row was applied.
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
    /// Not applied by this attempt: the incarnation is no longer alive, or its lane is not in the state that it left it
    /// in. Nothing can be done in its name any more.
    Over,
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
