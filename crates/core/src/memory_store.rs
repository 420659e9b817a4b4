//! Memory stores (spec §7.1): data that expires, shared by the servers of a game, never written to disk.
//!
//! Owns: what a call asks for and is answered; the seam to whoever keeps the data ([`MemoryStores`]); the rules of sorted
//! maps, queues and hash maps, as state machines to which time is handed in. Does not own: clocks, locks, waiting for items
//! of a queue, transforms (an update is a read and a write that names the revision it has read; both in `lua-bindings`).

mod call;
mod error;
mod expiry;
mod game_memory;
mod hash_map;
mod position;
mod queue;
mod quota;
mod shelf;
mod sorted_map;

use std::fmt;

pub use call::{
    Direction, HashMapCall, MemoryCall, MemoryReply, QueueCall, RangeBound, RangeItem, SortedMapCall, StoredItem,
    Write, check_expiration,
};
pub use error::{MemoryError, MemoryStatus};
pub use game_memory::GameMemory;
pub use position::{Number, SortKey};

/// Hears how a call has ended.
pub type MemoryAnswer = Box<dyn FnOnce(Result<MemoryReply, MemoryError>) + Send>;

/// Keeps the memory stores of one game, for all its servers.
pub trait MemoryStores: Send + Sync + fmt::Debug {
    /// Makes a call. `answer` hears how it ended, once: perhaps before this returns, perhaps later and on another thread.
    /// Calls take effect one after the other; those of one thread in the order in which it made them.
    fn call(&self, call: MemoryCall, answer: MemoryAnswer);

    /// How many players the game has: what quotas are made of.
    fn set_users(&self, users: u32);
}
