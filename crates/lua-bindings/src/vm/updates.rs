//! `OnUpdate` (spec §2.1; deprecated): who watches which key of a store, and what they have been told.
//!
//! Owns: the connections of the VM by key, and when each key is looked at: after a write of this server, and once a minute for
//! writes of others. Does not own: the looks themselves (`methods/on_update`), the threads of callbacks (`messages`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clawstore_core::clock::Timestamp;
use clawstore_core::ops::{CallResult, Reply};
use clawstore_core::{Entry, EntryKey};
use foldhash::fast::FixedState;
use mlua::{AnyUserData, Function, Lua, Thread, Value as LuaValue};

use super::calls::{Due, Writes};
use super::timing::after;
use super::{Ended, Vm};
use crate::classes::connection::Connection;
use crate::convert::decode;
use crate::shared::{State, borrow};

/// How often a watched key is looked at (spec §2.1).
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The watched keys of one VM.
#[derive(Debug, Default)]
pub(crate) struct Updates {
    /// Most VMs watch nothing, and most calls are answered in those.
    is_any: AtomicBool,
    watches: State<HashMap<EntryKey, Watch, FixedState>>,
}

#[derive(Debug)]
struct Watch {
    /// In order of connecting.
    connections: Vec<AnyUserData>,
    /// Looks once, in a thread of its own.
    look: Function,
    /// When the revision was written that callbacks know of; `None` until something is known.
    told: Option<Timestamp>,
    /// When the key is looked at next.
    next: Timestamp,
    /// A look at it is to start at once.
    is_asked: bool,
}

/// How something came to be known of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// This server has written it.
    Written,
    /// A look has found it: the first one finds what there was before anyone watched.
    Found,
}

impl Updates {
    /// Connections that may still be told something.
    pub(crate) fn listeners(&self) -> usize {
        borrow(&self.watches).values().map(|watch| watch.connections.len()).sum()
    }

    /// Lets go of the connections of a key that are not connected any more.
    pub(crate) fn forget_disconnected(&self, key: &EntryKey) {
        let mut watches = borrow(&self.watches);
        if let Some(watch) = watches.get_mut(key) {
            watch.connections.retain(|connection| connection.borrow::<Connection>().is_ok_and(|it| it.is_connected()));
        }
    }

    /// A look begins: does anyone watch? Then also when the next one of every minute is due, if that is to be set. What nobody
    /// watches any more stays until such a look: who connects meanwhile starts no other.
    fn begin_look(&self, key: &EntryKey, now: Timestamp) -> (bool, Option<Timestamp>) {
        let mut watches = borrow(&self.watches);
        let Some(watch) = watches.get_mut(key) else { return (false, None) };
        watch.is_asked = false;
        let (is_watched, is_regular) = (!watch.connections.is_empty(), watch.next <= now);
        if is_regular && !is_watched {
            watches.remove(key);
            self.is_any.store(!watches.is_empty(), Ordering::Relaxed);
            return (false, None);
        }
        if is_regular {
            watch.next = after(now, LOOK_EVERY);
        }
        (is_watched, is_regular.then_some(watch.next))
    }

    /// What looks at a key now, unless that is asked for already.
    fn ask_look(&self, key: &EntryKey) -> Option<Function> {
        let mut watches = borrow(&self.watches);
        let watch = watches.get_mut(key).filter(|watch| !watch.is_asked)?;
        watch.is_asked = true;
        Some(watch.look.clone())
    }

    /// Nobody is told of this entry any more, nor of what was there before it.
    fn skip(&self, key: &EntryKey, entry: &Entry) {
        if let Some(watch) = borrow(&self.watches).get_mut(key) {
            watch.told = watch.told.max(Some(entry.updated));
        }
    }

    /// Who is to be told of this entry, if it is news.
    fn news(&self, key: &EntryKey, entry: &Entry, seen: Seen) -> Vec<AnyUserData> {
        let mut watches = borrow(&self.watches);
        let Some(watch) = watches.get_mut(key) else { return Vec::new() };
        let is_news = match watch.told {
            None => seen == Seen::Written,
            // A look may be answered with what was there before the write that was told last.
            Some(told) => entry.updated > told,
        };
        if is_news || watch.told.is_none() {
            watch.told = Some(entry.updated);
        }
        if is_news { watch.connections.clone() } else { Vec::new() }
    }
}

impl Vm {
    /// Tells this connection of new values of a key. `look` is a function that looks at it once.
    pub(crate) fn watch(&self, lua: &Lua, key: &EntryKey, connection: AnyUserData, look: Function) {
        let is_new = {
            let mut watches = borrow(&self.updates.watches);
            let is_new = !watches.contains_key(key);
            let watch = watches.entry(key.clone()).or_insert_with(|| {
                let next = Timestamp::default();
                Watch { connections: Vec::new(), look, told: None, next, is_asked: false }
            });
            watch.connections.push(connection);
            is_new
        };
        self.updates.is_any.store(true, Ordering::Relaxed);
        if is_new {
            self.look_for_update(lua, key);
        }
    }

    /// A look begins: is anyone interested? Then the next one of every minute is set.
    pub(crate) fn begin_look(&self, lua: &Lua, key: &EntryKey) -> bool {
        let (is_watched, next) = self.updates.begin_look(key, self.clock());
        if let Some(next) = next {
            let look = borrow(&self.updates.watches).get(key).map(|watch| watch.look.clone());
            if let Some(thread) = look.and_then(|look| self.look_thread(lua, key, look)) {
                borrow(&self.calls).at(next, Due::Look(thread));
                self.note_next_due();
            }
        }
        is_watched
    }

    /// Has a key looked at now.
    fn look_for_update(&self, lua: &Lua, key: &EntryKey) {
        let look = self.updates.ask_look(key);
        if let Some(thread) = look.and_then(|look| self.look_thread(lua, key, look)) {
            borrow(&self.calls).start(thread);
        }
    }

    fn look_thread(&self, lua: &Lua, key: &EntryKey, look: Function) -> Option<Thread> {
        let thread = lua.create_thread(look);
        let failed = |error: &_| self.log(&format!("OnUpdate: {key} is not watched any more: {error}"));
        thread.inspect_err(failed).ok()
    }

    /// A call of this VM has ended. If it has written a key that is watched, its callbacks are told.
    pub(super) fn note_end(&self, lua: &Lua, op: u64, result: CallResult) {
        let written = self.updates.is_any.load(Ordering::Relaxed).then(|| {
            let calls = borrow(&self.calls);
            let writes = calls.open.get(&op).and_then(|call| call.writes.as_ref());
            writes.map(|Writes { key, removes }| (key.clone(), *removes, result.clone()))
        });
        borrow(&self.calls).end(op, Ended::Done(result));
        if let Some((key, removes, result)) = written.flatten() {
            self.note_written(lua, &key, removes, &result);
        }
    }

    fn note_written(&self, lua: &Lua, key: &EntryKey, removes: bool, result: &CallResult) {
        match result {
            // What a removal shows was there before it: that is no news. The look finds that it is gone.
            Ok(Reply::Entry(entry)) if removes => {
                self.updates.skip(key, entry);
                self.look_for_update(lua, key);
            }
            Ok(Reply::Entry(entry)) if self.tell_update(lua, key, entry, Seen::Written) => {}
            Ok(Reply::Entry(_) | Reply::Nothing) => self.look_for_update(lua, key),
            _ => {}
        }
    }

    /// Starts the callbacks of a key if this entry is news to them.
    pub(crate) fn tell_update(&self, lua: &Lua, key: &EntryKey, entry: &Entry, seen: Seen) -> bool {
        let connections = self.updates.news(key, entry, seen);
        for connection in &connections {
            let value = entry.value.as_ref().map_or(Ok(LuaValue::Nil), |value| decode(lua, value.json()));
            match value.and_then(|value| self.messages.callback_thread(lua, connection, value)) {
                Ok(thread) => borrow(&self.calls).start(thread),
                Err(error) => self.log(&format!("OnUpdate: an update of {key} was not told: {error}")),
            }
        }
        !connections.is_empty()
    }
}
