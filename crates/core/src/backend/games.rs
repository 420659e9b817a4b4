//! Whole games, and history that is not kept any more: what operators and the clock ask of a backend.
//!
//! Owns: deletion with its way back, snapshots, steps of expiry, as requests and answers. Does not own: when they are due
//! (`actors`), how long history is kept (`versioning`), asking people whether they mean it (`cli`).

use std::sync::Arc;

use super::BackendFuture;
use crate::clock::Timestamp;
use crate::entry::VersionId;
use crate::entry_key::{EntryKey, GameId};

/// Deletes history that is not kept any more.
pub trait ExpireHistory: Send + Sync {
    /// Deletes at most `sweep.rows` rows that no read shows any more, and says how many. Fewer than that: there are no more
    /// for now. Rows that somebody else holds are left for the next time.
    fn expire(&self, sweep: Arc<Sweep>) -> BackendFuture<'_, usize>;
    /// `RemoveVersionAsync`: deletes one kept version for good. The stored revision is left alone; so is a version that is not
    /// there. May be repeated.
    fn remove_version(&self, key: EntryKey, id: VersionId) -> BackendFuture<'_, ()>;
}

/// What may be deleted: versions superseded before their store's cutoff, tombstones from before `kept_since`, removed rows of
/// ordered stores. A row that is owned by a process that is alive is never deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    /// Of stores that have no cutoff of their own, and of all tombstones.
    pub kept_since: Timestamp,
    /// Stores that keep versions for a shorter time.
    pub shorter: Vec<StoreCutoff>,
    /// At most so many rows.
    pub rows: usize,
    /// The times are those of a simulation ([`Clock::is_simulated`](crate::clock::Clock::is_simulated)). Else a database with a
    /// clock of its own deletes nothing for a process whose clock is off by more than a day.
    pub is_simulated: bool,
}

/// Versions of one standard store are kept from this time on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreCutoff {
    /// Of which game.
    pub game: GameId,
    /// The name of the store, in all scopes.
    pub store: Box<str>,
    /// See [`Sweep::kept_since`].
    pub kept_since: Timestamp,
}

/// Looks after whole games.
pub trait ManageGames: Send + Sync {
    /// From now on the first write of every key of the game keeps what it supersedes: every row last written at `at` plus
    /// [`SNAPSHOT_SKEW`](crate::limits::SNAPSHOT_SKEW) or before is kept when it is overwritten. At most once a UTC day: a
    /// second one changes nothing. Unless time is simulated, a database with a clock of its own refuses an `at` that is off by
    /// more than the skew, as [`BackendErrorKind::Invalid`](super::BackendErrorKind::Invalid).
    fn take_snapshot(&self, game: GameId, at: Timestamp, is_simulated: bool) -> BackendFuture<'_, Snapshot>;
    /// Games that are deleted and not purged, with the time of their deletion.
    fn deleted_games(&self) -> BackendFuture<'_, Vec<(GameId, Timestamp)>>;
    /// Marks a game as deleted. Nothing of it is lost before it is purged.
    fn delete_game(&self, game: GameId, at: Timestamp) -> BackendFuture<'_, Deletion>;
    /// Takes a deletion back.
    fn restore_game(&self, game: GameId) -> BackendFuture<'_, Restoration>;
    /// Deletes at most `rows` rows of a game that is marked as deleted, for good, and says how many. Fewer than that: nothing
    /// is left of it, and it may be used anew. 0 for a game that is not marked.
    fn purge_game(&self, game: GameId, rows: usize) -> BackendFuture<'_, usize>;
}

/// The answer to [`ManageGames::take_snapshot`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// It was taken now; else there was one on the same UTC day.
    pub is_new: bool,
    /// When the last one was taken.
    pub at: Timestamp,
}

/// The answer to [`ManageGames::delete_game`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deletion {
    /// It is marked now.
    Done,
    /// It was marked already, at this time.
    Already(Timestamp),
    /// Nothing was ever stored for it.
    Unknown,
    /// A process that is alive owns keys of it: its name. Nothing was marked.
    InUse(String),
}

/// The answer to [`ManageGames::restore_game`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restoration {
    /// It is as it was.
    Done,
    /// It is not marked as deleted: never was, or is purged.
    NotDeleted,
}
