//! `MemoryStoreSortedMap` (spec §7.1).
//!
//! Owns: which map it is, and which methods it has. Does not own: what they do (`methods/memory_sorted_map`).

use std::sync::Arc;

use mlua::{Lua, UserDataFields, UserDataRegistry};

use super::instance_members;
use crate::methods::Methods;

/// One map object. The same name gives the same object.
#[derive(Debug)]
pub(crate) struct MemoryStoreSortedMap {
    pub(crate) name: Arc<str>,
}

pub(crate) fn register(
    lua: &Lua,
    registry: &mut UserDataRegistry<MemoryStoreSortedMap>,
    methods: Methods,
) -> mlua::Result<()> {
    instance_members(lua, registry, "MemoryStoreSortedMap", &[])?;
    for (name, function) in methods {
        registry.add_field(name, function);
    }
    Ok(())
}
