//! The cache of `GetAsync`, as Roblox documents it (spec §2.9): 4 s for each store object, whatever others write meanwhile.
//!
//! Owns: what each object has last read or written, and for how long that is shown. Does not own: the process's own cache, which
//! is fresher and is all that there is with [`Cache::Fresh`].

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use clawstore_core::clock::Timestamp;
use clawstore_core::limits::READ_CACHE_TTL;
use clawstore_core::ops::Reply;
use clawstore_core::{Entry, EntryKey};
use foldhash::fast::FixedState;
use mlua::{AnyUserData, Value as LuaValue};

use crate::classes::options::GetOptions;
use crate::methods::Arguments;
use crate::shared::{State, borrow};

/// What a `GetAsync` that may use a cache shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cache {
    /// The newest value of a key that this process owns, one of at most 4 s ago of any other. Never older than with `Strict`.
    #[default]
    Fresh,
    /// To the letter: what the same store object has last read past the cache, or written, within the last 4 s.
    Strict,
}

/// Bytes that one VM's objects remember at most. Beyond, the oldest are forgotten early, which only makes reads fresher.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// What an entry takes beside its value.
const ENTRY_OVERHEAD_BYTES: usize = 512;

/// A store object and one of its keys. Objects live as long as their VM.
type Place = (usize, EntryKey);

/// The caches of all objects of one VM.
#[derive(Debug, Default)]
pub(crate) struct StoreCache(State<Cached>);

#[derive(Debug, Default)]
struct Cached {
    /// Calls begun so far that may be cached.
    begun: u64,
    entries: HashMap<Place, Shown, FixedState>,
    /// In the order in which they are forgotten. One that was replaced since is left out then.
    order: VecDeque<(Place, Timestamp)>,
    bytes: usize,
}

#[derive(Debug)]
struct Shown {
    /// `None`: only a write has begun.
    entry: Option<Arc<Entry>>,
    until: Timestamp,
    /// The number of the call that has brought it.
    begun: u64,
    /// Held by writes of the object whose script is not told yet: nothing is shown meanwhile.
    writes: Weak<()>,
}

impl Shown {
    fn is_being_written(&self) -> bool {
        self.writes.strong_count() > 0
    }

    fn bytes(&self) -> usize {
        self.entry.as_ref().map_or(0, |entry| entry.payload_bytes()) + ENTRY_OVERHEAD_BYTES
    }
}

/// A call whose result is to be remembered when its script is told.
#[derive(Debug)]
pub(crate) struct Refresh {
    place: Place,
    begun: u64,
    /// Nothing is there afterwards, whatever the call returns.
    removes: bool,
    /// Of a write.
    _writes: Option<Arc<()>>,
}

fn place(object: &AnyUserData, key: &EntryKey) -> Place {
    (object.to_pointer() as usize, key.clone())
}

impl StoreCache {
    /// What the object shows of a key without asking.
    pub(crate) fn at_hand(&self, object: &AnyUserData, key: &EntryKey, now: Timestamp) -> Option<Arc<Entry>> {
        let cached = borrow(&self.0);
        let shown = cached.entries.get(&place(object, key)).filter(|shown| now < shown.until)?;
        shown.entry.clone().filter(|_| !shown.is_being_written())
    }

    /// A call begins: is its result to be remembered? That of a read from the cache is not: the time goes on. What a write
    /// may replace is not shown until its script is told.
    pub(crate) fn begin(&self, method: &str, arguments: &Arguments, now: Timestamp) -> Option<Refresh> {
        let key = match method {
            "GetAsync" | "SetAsync" | "UpdateAsync" | "IncrementAsync" | "RemoveAsync" => arguments.entry_key().ok()?,
            _ => return None,
        };
        let is_hit = method == "GetAsync" && uses_cache(arguments.at(2));
        if is_hit && self.at_hand(arguments.object(), &key, now).is_some() {
            return None;
        }
        let mut cached = borrow(&self.0);
        cached.begun += 1;
        let (place, begun) = (place(arguments.object(), &key), cached.begun);
        let writes = (method != "GetAsync").then(|| cached.hide(&place, begun, now));
        Some(Refresh { place, begun, removes: method == "RemoveAsync", _writes: writes })
    }

    /// The script of such a call is being told its result.
    pub(crate) fn refresh(&self, refresh: Refresh, reply: &Reply, now: Timestamp) {
        let entry = match reply {
            Reply::Entry(_) if refresh.removes => Arc::default(),
            Reply::Entry(entry) => Arc::clone(entry),
            _ => return,
        };
        let until = now.later(READ_CACHE_TTL);
        let shown = Shown { entry: Some(entry), until, begun: refresh.begun, writes: Weak::new() };
        borrow(&self.0).insert(refresh.place, shown, now);
    }
}

impl Cached {
    /// Shows nothing at this place for as long as anyone holds what this gives.
    fn hide(&mut self, place: &Place, begun: u64, now: Timestamp) -> Arc<()> {
        let known = self.entries.get(place).and_then(|shown| shown.writes.upgrade());
        let writes = known.unwrap_or_default();
        if let Some(shown) = self.entries.get_mut(place) {
            shown.writes = Arc::downgrade(&writes);
        } else {
            let until = now.later(READ_CACHE_TTL);
            self.insert(place.clone(), Shown { entry: None, until, begun, writes: Arc::downgrade(&writes) }, now);
        }
        writes
    }

    fn insert(&mut self, place: Place, mut shown: Shown, now: Timestamp) {
        if let Some(known) = self.entries.get(&place) {
            // Of two calls that overlap the later one knows better, also if it has ended first.
            if known.begun > shown.begun {
                return;
            }
            shown.writes = Weak::clone(&known.writes);
        }
        self.bytes += shown.bytes();
        self.order.push_back((place.clone(), shown.until));
        if let Some(replaced) = self.entries.insert(place, shown) {
            self.bytes -= replaced.bytes();
        }
        while let Some((place, until)) = self.order.pop_front_if(|(_, until)| *until <= now || self.bytes > BYTES_MAX) {
            if self.entries.get(&place).is_some_and(|shown| shown.until == until) {
                self.bytes -= self.entries.remove(&place).map_or(0, |shown| shown.bytes());
            }
        }
    }
}

/// What the options of `GetAsync` say. Those that are none are refused by the call itself.
fn uses_cache(options: &LuaValue) -> bool {
    let options = options.as_userdata().and_then(|options| options.borrow::<GetOptions>().ok());
    options.is_none_or(|options| options.use_cache)
}
