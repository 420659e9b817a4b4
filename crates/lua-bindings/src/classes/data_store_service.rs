//! `DataStoreService` (spec §1): opens stores.
//!
//! Owns: its members and the cache that gives the same object for the same name and scope. Does not own: what a store does.

use std::collections::HashMap;
use std::sync::Arc;

use clawstore_core::budget::BudgetType;
use clawstore_core::entry_key::DEFAULT_SCOPE;
use clawstore_core::{CallError, GameId, StoreId, StoreKind};
use mlua::{AnyUserData, Lua, UserDataFields, UserDataRegistry, Value as LuaValue};

use super::data_store::{DataStore, SERVICE};
use super::enums::REQUEST_TYPES;
use super::options::StoreOptions;
use super::ordered_data_store::OrderedDataStore;
use super::{add_method, instance_members};
use crate::arguments;
use crate::methods::{Method, Methods, list_data_stores_async, no_results};
use crate::shared::{Shared, State, borrow};
use crate::vm::Vm;

/// Name and scope; no scope for `AllScopes`.
type StoreName = (Vec<u8>, Option<Vec<u8>>);

/// Opened stores by name.
type Stores = State<HashMap<StoreName, AnyUserData>>;

/// The service of one VM.
#[derive(Debug)]
pub(crate) struct DataStoreService {
    vm: Shared<Vm>,
    game: GameId,
    stores: Stores,
    /// A namespace of their own.
    ordered_stores: Stores,
}

impl DataStoreService {
    pub(crate) fn new(game: GameId, vm: &Shared<Vm>) -> Self {
        Self { vm: Shared::clone(vm), game, stores: State::default(), ordered_stores: State::default() }
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
        let store = Arc::new(store);
        let store = match name.1 {
            Some(_) => DataStore::Scoped(store),
            None => DataStore::all_scopes(store),
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

/// An item of `Enum.DataStoreRequestType`.
fn request_type(value: &LuaValue) -> Result<BudgetType, CallError> {
    let items: Vec<_> = REQUEST_TYPES.iter().map(|&(name, value)| (name, i64::from(value))).collect();
    let value = arguments::enum_value(value, 1, "DataStoreRequestType", &items)?;
    BudgetType::of_value(value).ok_or_else(|| arguments::missing(1))
}

/// A limit that a script sets: required.
fn limit(value: &LuaValue, position: usize) -> Result<i64, CallError> {
    if value.is_nil() {
        return Err(arguments::missing(position));
    }
    arguments::integer(value, 0, position)
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

/// Its yielding methods.
pub(crate) const METHODS: &[Method] = &[Method {
    service: SERVICE,
    name: "ListDataStoresAsync",
    start: list_data_stores_async::start,
    finish: no_results,
}];

pub(crate) fn register(
    lua: &Lua,
    registry: &mut UserDataRegistry<DataStoreService>,
    methods: Methods,
) -> mlua::Result<()> {
    for (name, function) in methods {
        registry.add_field(name, function);
    }
    instance_members(lua, registry, "DataStoreService", &[])?;
    add_method(lua, registry, "GetDataStore", |lua, this, (name, scope, options): (LuaValue, LuaValue, LuaValue)| {
        this.get_data_store(lua, &name, &scope, &options)
    })?;
    add_method(lua, registry, "GetOrderedDataStore", |lua, this, (name, scope): (LuaValue, LuaValue)| {
        this.get_ordered_data_store(lua, &name, &scope)
    })?;
    add_method(lua, registry, "GetGlobalDataStore", |lua, this, ()| this.get_global_data_store(lua).map(Ok))?;
    add_method(lua, registry, "GetRequestBudgetForRequestType", |_, this, budget: LuaValue| {
        Ok(request_type(&budget).map(|budget| this.vm.request_budget(budget)))
    })?;
    add_method(
        lua,
        registry,
        "SetRateLimitForRequestType",
        |_, this, (budget, base, per_player): (LuaValue, LuaValue, LuaValue)| {
            let checked =
                request_type(&budget).and_then(|budget| Ok((budget, limit(&base, 2)?, limit(&per_player, 3)?)));
            let set = checked.and_then(|(budget, base, per_player)| this.vm.set_rate_limit(budget, (base, per_player)));
            Ok(set.map(|()| LuaValue::Nil))
        },
    )
}
