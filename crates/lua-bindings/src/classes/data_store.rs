//! `DataStore` (spec §2): a store in a scope, or in all of them.
//!
//! Owns: its identity and which entry a key argument names. Does not own: what its methods do (`methods`).

use std::collections::HashMap;
use std::sync::Arc;

use clawstore_core::{CallError, EntryKey, StoreId};
use mlua::{Lua, UserDataRegistry};
use parking_lot::Mutex;

use super::instance_members;
use crate::methods::{
    Method, Methods, batch_get_async, get_async, get_version_async, get_version_at_time_async, increment_async,
    list_keys_async, list_versions_async, no_results, remove_async, remove_version_async, set_async, update_async,
};

/// One store object. The same name and scope give the same object (spec §1).
#[derive(Debug)]
pub(crate) enum DataStore {
    /// Opened with a scope.
    Scoped(Arc<StoreId>),
    /// Opened with `AllScopes`: keys are `scope/key`.
    AllScopes {
        /// Its scope is not looked at.
        store: Arc<StoreId>,
        /// Scopes used lately, at most [`MOST_SCOPES`].
        scopes: Mutex<HashMap<String, Arc<StoreId>>>,
    },
}

impl DataStore {
    pub(crate) fn all_scopes(store: Arc<StoreId>) -> Self {
        Self::AllScopes { store, scopes: Mutex::default() }
    }

    /// The entry that a key argument names.
    ///
    /// # Errors
    /// 101 and 102 (spec §5.2); with `AllScopes` also a key without a scope in front (spec §2.2).
    pub(crate) fn entry_key(&self, key: &[u8]) -> Result<EntryKey, CallError> {
        match self {
            Self::Scoped(store) => EntryKey::new(store, key),
            Self::AllScopes { store, scopes } => {
                // The first slash parts them: keys may contain more (`decisions.md` 2).
                let Some(slash) = key.iter().position(|&byte| byte == b'/') else {
                    return Err(CallError::argument("With AllScopes a key must be of the form scope/key"));
                };
                let (scope, key) = (&key[..slash], &key[slash + 1..]);
                // One that is not UTF-8 is no scope: making its store says so.
                let known = str::from_utf8(scope).ok().and_then(|scope| scopes.lock().get(scope).cloned());
                let scoped = match known {
                    Some(scoped) => scoped,
                    None => {
                        let scoped = Arc::new(StoreId::new(store.game, store.kind, store.name.as_bytes(), scope)?);
                        remember(&mut scopes.lock(), &scoped);
                        scoped
                    }
                };
                EntryKey::new(&scoped, key)
            }
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Scoped(store) | Self::AllScopes { store, .. } => &store.name,
        }
    }
}

/// Scopes that one object remembers. Most games have few, but a scope may be a user's.
const MOST_SCOPES: usize = 256;

fn remember(scopes: &mut HashMap<String, Arc<StoreId>>, store: &Arc<StoreId>) {
    if scopes.len() >= MOST_SCOPES {
        scopes.clear();
    }
    scopes.insert(store.scope.to_string(), Arc::clone(store));
}

/// The service that it comes from.
pub(crate) const SERVICE: &str = "DataStoreService";

/// Its yielding methods.
pub(crate) const METHODS: &[Method] = &[
    Method { service: SERVICE, name: "GetAsync", start: get_async::start, finish: get_async::finish },
    Method { service: SERVICE, name: "SetAsync", start: set_async::start, finish: set_async::finish },
    Method { service: SERVICE, name: "UpdateAsync", start: update_async::start, finish: update_async::finish },
    Method { service: SERVICE, name: "IncrementAsync", start: increment_async::start, finish: increment_async::finish },
    Method { service: SERVICE, name: "RemoveAsync", start: remove_async::start, finish: remove_async::finish },
    Method {
        service: SERVICE,
        name: "GetVersionAsync",
        start: get_version_async::start,
        finish: get_version_async::finish,
    },
    Method {
        service: SERVICE,
        name: "GetVersionAtTimeAsync",
        start: get_version_at_time_async::start,
        finish: get_version_at_time_async::finish,
    },
    Method { service: SERVICE, name: "ListVersionsAsync", start: list_versions_async::start, finish: no_results },
    Method { service: SERVICE, name: "ListKeysAsync", start: list_keys_async::start, finish: no_results },
    Method { service: SERVICE, name: "RemoveVersionAsync", start: remove_version_async::start, finish: no_results },
    Method { service: SERVICE, name: "BatchGetAsync", start: batch_get_async::start_on_standard, finish: no_results },
];

pub(crate) fn register(lua: &Lua, registry: &mut UserDataRegistry<DataStore>, methods: Methods) -> mlua::Result<()> {
    use mlua::UserDataFields;
    instance_members(lua, registry, "DataStore", &["GlobalDataStore"])?;
    for (name, function) in methods {
        registry.add_field(name, function);
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use clawstore_core::{GameId, StoreKind};

    use super::*;

    #[test]
    fn an_object_of_all_scopes_remembers_few() {
        let store = StoreId::new(GameId::Number(1), StoreKind::Standard, b"A", b"global").unwrap();
        let store = DataStore::all_scopes(Arc::new(store));
        for user in 0..10_000 {
            let key = store.entry_key(format!("{user}/k").as_bytes()).unwrap();
            assert_eq!(&*key.store.scope, user.to_string());
        }
        let DataStore::AllScopes { scopes, .. } = store else { panic!("it is one") };
        assert!(scopes.lock().len() <= MOST_SCOPES);
    }
}
