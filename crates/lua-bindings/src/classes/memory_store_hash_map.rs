//! `MemoryStoreHashMap` and `MemoryStoreHashMapPages` (spec §2.11, §7.1).
//!
//! Owns: which map it is, the page that is loaded, and which methods they have. Does not own: what these do
//! (`methods/memory_hash_map`).

use std::sync::Arc;

use clawstore_core::memory_store::RangeItem;
use mlua::{Lua, Table, UserDataFields, UserDataRegistry};

use super::{add_method, instance_members};
use crate::convert::decode;
use crate::methods::Methods;

/// One map object. The same name gives the same object.
#[derive(Debug)]
pub(crate) struct MemoryStoreHashMap {
    pub(crate) name: Arc<str>,
}

/// The items of a map, page by page. The first one is loaded when a script gets it.
#[derive(Debug)]
pub(crate) struct MemoryStoreHashMapPages {
    pub(crate) name: Arc<str>,
    /// Most items of a page.
    pub(crate) count: usize,
    pub(crate) items: Vec<RangeItem>,
    pub(crate) has_more: bool,
}

impl MemoryStoreHashMapPages {
    /// `{key, value}` for each item, in fresh tables.
    fn current_page(&self, lua: &Lua) -> mlua::Result<Table> {
        let page = lua.create_table_with_capacity(self.items.len(), 0)?;
        for item in &self.items {
            let entry = lua.create_table_with_capacity(0, 2)?;
            entry.raw_set("key", &*item.key)?;
            entry.raw_set("value", decode(lua, item.value.json())?)?;
            page.raw_push(entry)?;
        }
        Ok(page)
    }
}

pub(crate) fn register(
    lua: &Lua,
    registry: &mut UserDataRegistry<MemoryStoreHashMap>,
    methods: Methods,
) -> mlua::Result<()> {
    instance_members(lua, registry, "MemoryStoreHashMap", &[])?;
    for (name, function) in methods {
        registry.add_field(name, function);
    }
    Ok(())
}

pub(crate) fn register_pages(
    lua: &Lua,
    registry: &mut UserDataRegistry<MemoryStoreHashMapPages>,
    methods: Methods,
) -> mlua::Result<()> {
    instance_members(lua, registry, "MemoryStoreHashMapPages", &["Pages"])?;
    registry.add_field_method_get("IsFinished", |_, pages| Ok(!pages.has_more));
    add_method(lua, registry, "GetCurrentPage", |lua, pages, ()| pages.current_page(lua).map(Ok))?;
    for (name, function) in methods {
        registry.add_field(name, function);
    }
    Ok(())
}
