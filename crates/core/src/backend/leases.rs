//! Leases: what a store that several processes share must do about them.
//!
//! Owns: asking for keys and giving them back, shared keys, who is alive, hints between processes, and locks as operators see
//! them. Does not own: when any of it is done (`lease`), what a fence guards (`CommitBatches`).

use std::pin::Pin;

use super::{BackendFuture, Fence, Incarnation, LaneId};
use crate::entry::Entry;
use crate::entry_key::{EntryKey, GameId};

/// Says who owns a key, where several processes share one store (`ownership-protocol.md` §2).
pub trait HoldLeases: Send + Sync {
    /// Makes a new incarnation known as alive, with its lanes, each at batch number 0. The same again changes nothing.
    fn join(&self, incarnation: Incarnation) -> BackendFuture<'_, ()>;
    /// Says that the incarnation is alive, and asks how those do whom it watches. Loses nothing if it is not durable.
    fn beat(&self, beat: Beat) -> BackendFuture<'_, BeatAnswer>;
    /// Declares dead, for ever, those whose count of beats is still what was seen (I9); `by` must be alive itself. `is_fast`:
    /// only those who have lost their connection too, as far as the store can tell. Answers which of them are not alive now.
    fn declare_dead(&self, by: Incarnation, seen: Vec<Peer>, is_fast: bool) -> BackendFuture<'_, Vec<Incarnation>>;
    /// Asks for keys, one answer each, in order. Waits for nobody. The same fence again gives the same answer. A key that
    /// another holds is marked as wanted. [`BackendErrorKind::Over`](super::BackendErrorKind::Over) if `by` is not alive.
    fn acquire(&self, by: Incarnation, asks: Vec<LeaseAsk>) -> BackendFuture<'_, Vec<LeaseAnswer>>;
    /// Gives leases back, and answers who had asked for them. One whose fence is not the key's any more is left alone.
    fn release(&self, leases: Vec<GiveBack>) -> BackendFuture<'_, Vec<Incarnation>>;
    /// Leases of the incarnation that others wait for; not all if there are very many.
    fn list_wanted(&self, incarnation: Incarnation) -> BackendFuture<'_, Vec<LeaseRequest>>;
    /// Sends hints, each to whoever hears those of that incarnation. Best effort: what nobody hears at the moment is lost.
    fn hint(&self, hints: Vec<(Incarnation, Hint)>) -> BackendFuture<'_, ()>;
    /// Hands each hint for this incarnation to `sink`, for ever. One that comes while a connection is opened again is lost.
    fn hear_hints(&self, incarnation: Incarnation, sink: HintSink) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
    /// The incarnation ends in order: all its leases are free (I9).
    fn leave(&self, incarnation: Incarnation) -> BackendFuture<'_, ()>;
    /// Keys that have an owner or are shared, in the order of the store's kind and name, scope and key.
    fn list_locks(&self, query: LockQuery) -> BackendFuture<'_, Vec<Lock>>;
}

/// Takes a hint that has arrived.
pub type HintSink = Box<dyn Fn(Hint) + Send + Sync>;

/// Says that it is worth asking now. Nothing depends on it: who hears none asks a little later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hint {
    /// Somebody waits for a key of yours: [`HoldLeases::list_wanted`].
    Wanted,
    /// A key that you wait for has been given back.
    Freed,
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
    /// Lanes of this process, of this incarnation or an earlier one, whose numbers to return.
    pub lanes: Vec<LaneMark>,
}

impl Beat {
    /// A beat that asks about no lane.
    pub fn new(incarnation: Incarnation, watch: Vec<Incarnation>) -> Self {
        Self { incarnation, watch, lanes: Vec::new() }
    }
}

/// How far a lane has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneMark {
    /// Which lane.
    pub lane: LaneId,
    /// Number of its last batch that was acknowledged when this was asked.
    pub seq: u64,
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
    /// Changes when another copy of the store takes over; 0 if there are no copies. Of Postgres: the timeline of its log.
    pub timeline: u32,
    /// The number of the last batch that each of the beat's lanes has committed, in order. `None`: there is no such lane.
    pub lanes: Vec<Option<u64>>,
}

/// A key with the fence under which it is owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRequest {
    /// Which key.
    pub key: EntryKey,
    /// Of its acquisition.
    pub fence: Fence,
}

/// A key that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseAsk {
    /// Which key.
    pub key: EntryKey,
    /// Drawn by who asks, so that the answer to a repeated ask is known as its own.
    pub fence: Fence,
    /// Take the key over although it is held or shared, but only while its fence is still this one.
    pub instead_of: Option<Fence>,
}

impl LeaseAsk {
    /// An ask that takes nothing over.
    pub fn new(key: EntryKey, fence: Fence) -> Self {
        Self { key, fence, instead_of: None }
    }
}

/// The answer to a [`LeaseAsk`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseAnswer {
    /// The key is owned under the fence that was asked with; this is its durable state now (A2).
    Granted(Entry),
    /// Another incarnation, believed alive, owns the key. It will see that the key is wanted.
    Held {
        /// Who owns it.
        owner: Peer,
        /// Of its acquisition: whoever asks again `instead_of` this one takes the key over.
        fence: Fence,
    },
    /// Nobody owns the key: everyone writes it under this one fence, each write on the revision that it has seen.
    Shared {
        /// Its durable state now.
        entry: Entry,
        /// The fence of all.
        fence: Fence,
    },
    /// The row is locked at this moment. Ask again.
    Busy,
}

/// A lease that is given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GiveBack {
    /// Which key.
    pub key: EntryKey,
    /// Under which fence it was owned.
    pub fence: Fence,
    /// The key is shared from now on, under this fence. It is given back plainly if a process is alive that cannot share.
    pub share: Option<Fence>,
}

impl GiveBack {
    /// Given back for whoever asks next.
    pub fn new(key: EntryKey, fence: Fence) -> Self {
        Self { key, fence, share: None }
    }
}

/// Which locks are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockQuery {
    /// Of which game.
    pub game: GameId,
    /// Of the store of this name, of either kind; without it, of all.
    pub store: Option<Box<str>>,
    /// Of keys that begin so.
    pub prefix: Box<str>,
    /// At most so many.
    pub limit: usize,
}

/// How a key is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// Which key.
    pub key: EntryKey,
    /// Of its acquisition, or of all who share it.
    pub fence: Fence,
    /// By whom.
    pub holder: Holder,
    /// By which name operators know the server that waits for it; the first one, if several do.
    pub wanted_by: Option<Box<str>>,
}

/// Who may write a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// One server.
    Server {
        /// By which name operators know it.
        name: Box<str>,
        /// Which start of it.
        incarnation: Incarnation,
        /// It has not died or left: else the key is free, and is granted to whoever asks.
        is_alive: bool,
    },
    /// All servers, each write on the revision that it has seen.
    All,
}
