//! The load guard of `decisions.md` 21: a game that sets defaults first and saves on leave must not overwrite a real save
//! that it has never seen.
//!
//! Owns: which keys have a `GetAsync` that has not succeeded, as the VM's scripts know it, and refusing `SetAsync` on them.
//! Does not own: the calls. `UpdateAsync` shows the stored value to its transform and is always fine; a key that was never
//! loaded is not guarded.

use std::collections::HashMap;

use clawstore_core::{CallError, EntryKey};
use foldhash::fast::FixedState;

use crate::methods::Arguments;
use crate::shared::{State, borrow};

/// Guarded keys of one VM, each with the number of its last load.
#[derive(Debug, Default)]
pub(crate) struct LoadGuard(State<Loads>);

#[derive(Debug, Default)]
struct Loads {
    begun: u64,
    guarded: HashMap<EntryKey, u64, FixedState>,
}

/// A load whose script has not been told its value yet.
#[derive(Debug)]
pub(crate) struct Load {
    key: EntryKey,
    number: u64,
}

impl LoadGuard {
    /// A call of `DataStoreService` begins. Notes a load.
    ///
    /// # Errors
    /// For a `SetAsync` on a guarded key.
    pub(crate) fn begin(&self, method: &str, arguments: &Arguments) -> Result<Option<Load>, CallError> {
        // A key that is not legal is refused by the call itself.
        match method {
            "GetAsync" => Ok(arguments.entry_key().ok().map(|key| self.begin_load(key))),
            "SetAsync" => arguments.entry_key().map_or(Ok(None), |key| self.check(&key).map(|()| None)),
            _ => Ok(None),
        }
    }

    fn begin_load(&self, key: EntryKey) -> Load {
        let mut loads = borrow(&self.0);
        loads.begun += 1;
        let number = loads.begun;
        loads.guarded.insert(key.clone(), number);
        Load { key, number }
    }

    fn check(&self, key: &EntryKey) -> Result<(), CallError> {
        if borrow(&self.0).guarded.contains_key(key) {
            return Err(CallError::unavailable(
                "The last GetAsync of this key on this server failed or has not returned, so SetAsync could overwrite a save \
                 that the game has never seen. Load the key again, or use UpdateAsync.",
            ));
        }
        Ok(())
    }

    /// The script is being told what the load has found. Only the last load counts: the game may have begun it because it
    /// distrusts those before.
    pub(crate) fn end_load(&self, load: &Load) {
        let mut loads = borrow(&self.0);
        if loads.guarded.get(&load.key) == Some(&load.number) {
            loads.guarded.remove(&load.key);
        }
    }
}
