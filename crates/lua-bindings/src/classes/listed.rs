//! `DataStoreInfo` and `DataStoreKey` (spec §2.11): a store and a key in a list.
//!
//! Owns: their members, and how a page of the core's lists becomes one of scripts. Does not own: the lists (`core::listing`).

use std::sync::Arc;

use clawstore_core::backend::{KeyPlace, StoreInfo};
use clawstore_core::ops::{Look, Reply};
use mlua::{Lua, UserDataFields, UserDataRegistry, Value as LuaValue};

use super::instance_members;
use super::pages::Item;

/// `DataStoreKey`.
#[derive(Debug, Clone)]
pub(crate) struct ListedKey {
    /// Behind its scope and a slash if the list is of all scopes.
    name: Arc<str>,
}

impl Item for ListedKey {
    const CLASS: &'static str = "DataStoreKeyPages";
    const CURSOR: Option<fn(&Look) -> String> = Some(cursor);

    fn turn(look: &mut Look, reply: &Reply) -> (Vec<Self>, bool) {
        let (Look::Keys(list), Reply::Keys(page)) = (look, reply) else { return (Vec::new(), true) };
        let name = |place: &KeyPlace| match list.all_scopes {
            true => format!("{}/{}", place.scope, place.key).into(),
            false => Arc::clone(&place.key),
        };
        let keys = page.items.iter().map(|item| Self { name: name(&item.place) }).collect();
        list.after.clone_from(&page.next);
        (keys, page.next.is_none())
    }

    fn to_lua(&self, lua: &Lua) -> mlua::Result<LuaValue> {
        lua.create_any_userdata(self.clone()).map(LuaValue::UserData)
    }
}

impl Item for StoreInfo {
    const CLASS: &'static str = "DataStoreListingPages";
    const CURSOR: Option<fn(&Look) -> String> = Some(cursor);

    fn turn(look: &mut Look, reply: &Reply) -> (Vec<Self>, bool) {
        let (Look::Stores(list), Reply::Stores(page)) = (look, reply) else { return (Vec::new(), true) };
        list.after.clone_from(&page.next);
        (page.items.clone(), page.next.is_none())
    }

    fn to_lua(&self, lua: &Lua) -> mlua::Result<LuaValue> {
        lua.create_any_userdata(self.clone()).map(LuaValue::UserData)
    }
}

/// Where a look goes on, as scripts keep it.
fn cursor(look: &Look) -> String {
    match look {
        Look::Keys(list) => list.after.as_ref().map(|place| list.cursor(place)),
        Look::Stores(list) => list.after.as_ref().map(|name| list.cursor(name)),
        _ => None,
    }
    .unwrap_or_default()
}

pub(crate) fn register_key(lua: &Lua, registry: &mut UserDataRegistry<ListedKey>) -> mlua::Result<()> {
    instance_members(lua, registry, "DataStoreKey", &[])?;
    registry.add_field_method_get("KeyName", |lua, key| lua.create_string(&*key.name));
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are well below 2^53")]
pub(crate) fn register_store(lua: &Lua, registry: &mut UserDataRegistry<StoreInfo>) -> mlua::Result<()> {
    instance_members(lua, registry, "DataStoreInfo", &[])?;
    registry.add_field_method_get("DataStoreName", |lua, store| lua.create_string(&*store.name));
    registry.add_field_method_get("CreatedTime", |_, store| Ok(store.created.unix_ms() as f64));
    registry.add_field_method_get("UpdatedTime", |_, store| Ok(store.updated.unix_ms() as f64));
    Ok(())
}
