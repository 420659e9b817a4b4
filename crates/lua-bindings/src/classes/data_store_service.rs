//! `DataStoreService` (spec §1): opens stores.
//!
//! Owns: its members and the cache that gives the same object for the same name and scope. Does not own: what a store does.

use std::collections::HashMap;
use std::sync::Arc;

use clawstore_core::entry_key::DEFAULT_SCOPE;
use clawstore_core::{CallError, GameId, StoreId, StoreKind};
use mlua::{AnyUserData, Lua, UserDataRegistry, Value as LuaValue};

use super::data_store::DataStore;
use super::enums::REQUEST_TYPES;
use super::options::StoreOptions;
use super::ordered_data_store::OrderedDataStore;
use super::{add_method, instance_members};
use crate::arguments;
use crate::shared::{State, borrow};

/// Name and scope; no scope for `AllScopes`.
type StoreName = (Vec<u8>, Option<Vec<u8>>);

/// Opened stores by name.
type Stores = State<HashMap<StoreName, AnyUserData>>;

/// The service of one VM.
#[derive(Debug)]
pub(crate) struct DataStoreService {
    game: GameId,
    stores: Stores,
    /// A namespace of their own.
    ordered_stores: Stores,
}

impl DataStoreService {
    pub(crate) fn new(game: GameId) -> Self {
        Self { game, stores: State::default(), ordered_stores: State::default() }
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

impl DataStoreService {
    fn get_ordered_data_store(
        &self,
        lua: &Lua,
        name: &LuaValue,
        scope: &LuaValue,
    ) -> mlua::Result<Result<AnyUserData, CallError>> {
        let opened = store_name(name, scope, &LuaValue::Nil).and_then(|(name, scope)| {
            let scope = scope.unwrap_or_default();
            Ok((StoreId::new(self.game, StoreKind::Ordered, &name, &scope)?, (name, Some(scope))))
        });
        let (store, name) = match opened {
            Ok(opened) => opened,
            Err(error) => return Ok(Err(error)),
        };
        if let Some(store) = borrow(&self.ordered_stores).get(&name) {
            return Ok(Ok(store.clone()));
        }
        let store = lua.create_any_userdata(OrderedDataStore(Arc::new(store)))?;
        borrow(&self.ordered_stores).insert(name, store.clone());
        Ok(Ok(store))
    }
}

/// No profile limits the number of requests yet, so that all types have the largest budget that there is.
fn request_budget(request_type: &LuaValue) -> Result<i32, CallError> {
    let items: Vec<_> = REQUEST_TYPES.iter().map(|&(name, value)| (name, i64::from(value))).collect();
    arguments::enum_value(request_type, 1, "DataStoreRequestType", &items)?;
    Ok(i32::MAX)
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
    add_method(lua, registry, "GetDataStore", |lua, this, (name, scope, options): (LuaValue, LuaValue, LuaValue)| {
        this.get_data_store(lua, &name, &scope, &options)
    })?;
    add_method(lua, registry, "GetOrderedDataStore", |lua, this, (name, scope): (LuaValue, LuaValue)| {
        this.get_ordered_data_store(lua, &name, &scope)
    })?;
    add_method(lua, registry, "GetGlobalDataStore", |lua, this, ()| this.get_global_data_store(lua).map(Ok))?;
    add_method(lua, registry, "GetRequestBudgetForRequestType", |_, _, request_type: LuaValue| {
        Ok(request_budget(&request_type))
    })
}
