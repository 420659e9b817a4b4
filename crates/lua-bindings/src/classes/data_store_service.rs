//! `DataStoreService` (spec §1): opens stores.
//!
//! Owns: its members and the cache that gives the same object for the same name and scope. Does not own: what a store does.

use std::collections::HashMap;
use std::sync::Arc;

use clawstore_core::entry_key::DEFAULT_SCOPE;
use clawstore_core::{CallError, GameId, StoreId, StoreKind};
use mlua::{AnyUserData, Lua, UserDataFields, UserDataRegistry, Value as LuaValue};

use super::data_store::DataStore;
use super::options::StoreOptions;
use super::{guarded, instance_members};
use crate::arguments;
use crate::shared::{State, borrow};

/// Name and scope; no scope for `AllScopes`.
type StoreName = (Vec<u8>, Option<Vec<u8>>);

/// The service of one VM.
#[derive(Debug)]
pub(crate) struct DataStoreService {
    game: GameId,
    stores: State<HashMap<StoreName, AnyUserData>>,
}

impl DataStoreService {
    pub(crate) fn new(game: GameId) -> Self {
        Self { game, stores: State::default() }
    }

    fn open(&self, lua: &Lua, name: StoreName, store: DataStore) -> mlua::Result<AnyUserData> {
        let store = lua.create_any_userdata(store)?;
        borrow(&self.stores).insert(name, store.clone());
        Ok(store)
    }

    fn get_data_store(
        &self,
        lua: &Lua,
        name: &LuaValue,
        scope: &LuaValue,
        options: &LuaValue,
    ) -> mlua::Result<Result<AnyUserData, CallError>> {
        let name = match store_name(name, scope, options) {
            Ok(name) => name,
            Err(error) => return Ok(Err(error)),
        };
        if let Some(store) = borrow(&self.stores).get(&name) {
            return Ok(Ok(store.clone()));
        }
        let scope = name.1.as_deref().unwrap_or(DEFAULT_SCOPE.as_bytes());
        let store = match StoreId::new(self.game, StoreKind::Standard, &name.0, scope) {
            Ok(store) => store,
            Err(error) => return Ok(Err(error)),
        };
        let store = match name.1 {
            Some(_) => DataStore::Scoped(Arc::new(store)),
            None => DataStore::all_scopes(self.game, store.name.into()),
        };
        self.open(lua, name, store).map(Ok)
    }

    fn get_global_data_store(&self, lua: &Lua) -> mlua::Result<AnyUserData> {
        let store = StoreId::global(self.game);
        // No script can open an empty name, so the global store's place in the cache is its own.
        let name = (store.name.as_bytes().to_vec(), Some(store.scope.as_bytes().to_vec()));
        if let Some(store) = borrow(&self.stores).get(&name) {
            return Ok(store.clone());
        }
        self.open(lua, name, DataStore::Scoped(Arc::new(store)))
    }
}

fn store_name(name: &LuaValue, scope: &LuaValue, options: &LuaValue) -> Result<StoreName, CallError> {
    let all_scopes = match options {
        LuaValue::Nil => false,
        LuaValue::UserData(options) => match options.borrow::<StoreOptions>() {
            Ok(options) => options.all_scopes,
            Err(_) => return Err(CallError::argument("Unable to cast value to DataStoreOptions")),
        },
        _ => return Err(CallError::argument("Unable to cast value to DataStoreOptions")),
    };
    let name = arguments::string(name, 1)?;
    let scope = if scope.is_nil() { DEFAULT_SCOPE.into() } else { arguments::string(scope, 2)? };
    match (all_scopes, scope.is_empty()) {
        (false, _) => Ok((name, Some(scope))),
        (true, true) => Ok((name, None)),
        (true, false) => Err(CallError::argument("DataStore scope must be an empty string when AllScopes is true")),
    }
}

pub(crate) fn register(lua: &Lua, registry: &mut UserDataRegistry<DataStoreService>) -> mlua::Result<()> {
    instance_members(lua, registry, "DataStoreService", &[])?;
    let get_data_store = |lua: &Lua, (this, name, scope, options): (AnyUserData, LuaValue, LuaValue, LuaValue)| {
        this.borrow::<DataStoreService>()?.get_data_store(lua, &name, &scope, &options)
    };
    registry.add_field("GetDataStore", guarded(lua, get_data_store)?);
    let get_global =
        |lua: &Lua, this: AnyUserData| this.borrow::<DataStoreService>()?.get_global_data_store(lua).map(Ok);
    registry.add_field("GetGlobalDataStore", guarded(lua, get_global)?);
    Ok(())
}
