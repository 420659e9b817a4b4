//! `ListDataStoresAsync` (spec §1, §2.10): standard stores of the game that hold at least one key, by name.

use clawstore_core::CallError;
use clawstore_core::backend::StoreInfo;
use clawstore_core::limits::{STORES_PAGE_DEFAULT, STORES_PAGE_MAX};
use clawstore_core::listing::StoreList;
use clawstore_core::ops::Look;
use mlua::Lua;

use super::Arguments;
use crate::arguments;
use crate::classes::data_store_service::DataStoreService;
use crate::classes::pages;
use crate::shared::Shared;
use crate::vm::{Started, Vm};

pub(crate) fn start(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    arguments.this::<DataStoreService>()?;
    let prefix = arguments::prefix(arguments.at(1), 1)?;
    let size = pages::page_size(arguments.at(2), 2, STORES_PAGE_DEFAULT, STORES_PAGE_MAX)?;
    let mut list = StoreList { game: vm.server.game_id(), prefix, after: None, size };
    list.go_on(&arguments::optional_string(arguments.at(3), 3)?)?;
    Ok(pages::start::<StoreInfo>(vm, lua, Look::Stores(list), pages::as_pages))
}
