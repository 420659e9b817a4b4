//! The storage seam: what a backend must do, one call per batch.
//!
//! Owns: the role traits, the batch and its outcome, and the kinds of failure with what each asks of the caller; leases are in
//! `leases`, lists in `scan`, whole games in `games`. Does not own: SQL, connections, retries (`lane`), who should own what
//! (`lease`), caches.
//! Implemented by the Postgres and SQLite backends and by the memory backend of the test kit; `Backend` is all roles.

mod games;
mod leases;
mod scan;
mod sums;

use std::fmt;
use std::future::Future;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;

pub use games::{Deletion, ExpireHistory, ManageGames, Restoration, Snapshot, StoreCutoff, Sweep};
pub use leases::{
    Beat, BeatAnswer, GiveBack, Hint, HintSink, HoldLeases, Holder, LaneMark, LeaseAnswer, LeaseAsk, LeaseRequest,
    Lock, LockQuery, Peer,
};
pub use scan::{
    BEHIND_ANY_NAME, Kept, KeyItem, KeyPlace, KeyRange, ScanEntries, SortedItem, SortedQuery, StoreInfo, StoresQuery,
    VersionInfo, VersionQuery,
};
pub use sums::Number;

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

/// The newest state of one key, to be written if `fence` and `base` still hold, or a sum to be added to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRow {
    /// Which key.
    pub key: EntryKey,
    /// The fence under which the key is owned or shared; else the row is [`RowOutcome::Fenced`] (I6).
    pub fence: Fence,
    /// The revision that must be stored now (0: none); else the row is [`RowOutcome::Fenced`] (I5).
    pub base: u64,
    /// Is the stored revision copied to the versions before it is overwritten?
    pub previous: Previous,
    /// Revisions between base and entry that become versions too, oldest first.
    pub kept: Vec<Arc<Entry>>,
    /// The state to write. Its revision is greater than `base`.
    pub entry: Arc<Entry>,
    /// The row is a sum, of a key that is shared: `entry` is what its increments make of a key that was never written, and the
    /// store does the same to what is stored, whatever its revision, if that is a number of this range ([`Number::plus`]) and of
    /// no snapshot; else the row is [`RowOutcome::Fenced`].
    pub onto: Option<RangeInclusive<i64>>,
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
    /// Durable: the sum was added to this.
    Added(Number),
    /// The fence or the stored revision was another: somebody else owns or wrote the key; or a sum did not fit. Nothing of the
    /// row was applied.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_numbers_are_of_63_bits_and_never_none() {
        assert_eq!(
            [0, 1, 2, 14, u128::from(u64::MAX)].map(|bits| Fence::from_bits(bits).0),
            [1, 1, 1, 7, u64::MAX >> 1]
        );
        assert_eq!(Incarnation::from_bits(14), Incarnation(7));
    }
}
