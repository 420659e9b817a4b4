//! `ListKeysAsync` (spec §2.1, §2.10): keys of a store by name, removed ones included unless asked otherwise.

use std::sync::Arc;

use clawstore_core::CallError;
use clawstore_core::limits::{KEYS_PAGE_DEFAULT, KEYS_PAGE_MAX};
use clawstore_core::listing::KeyList;
use clawstore_core::ops::Look;
use mlua::{Lua, Value as LuaValue};

use super::Arguments;
use crate::arguments;
use crate::classes::data_store::DataStore;
use crate::classes::listed::ListedKey;
use crate::classes::pages;
use crate::shared::Shared;
use crate::vm::{Started, Vm};

pub(crate) fn start(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    let (store, all_scopes) = match &*arguments.this::<DataStore>()? {
        DataStore::Scoped(store) => (Arc::clone(store), false),
        DataStore::AllScopes { store, .. } => (Arc::clone(store), true),
    };
    let prefix = arguments::prefix(arguments.at(1), 1)?;
    let size = pages::page_size(arguments.at(2), 2, KEYS_PAGE_DEFAULT, KEYS_PAGE_MAX)?;
    let exclude_deleted = match arguments.at(4) {
        LuaValue::Nil => false,
        exclude => arguments::boolean(exclude, 4)?,
    };
    let mut list = KeyList { store, all_scopes, prefix, exclude_deleted, after: None, size };
    list.go_on(&arguments::optional_string(arguments.at(3), 3)?)?;
    Ok(pages::start::<ListedKey>(vm, lua, Look::Keys(list), pages::as_pages))
}
