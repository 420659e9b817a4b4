//! `MemoryStoreQueue` (spec §7.1).
//!
//! Owns: which queue it is, how long it hides what it has read, and which methods it has. Does not own: what they do
//! (`methods/memory_queue`).

use std::sync::Arc;

use mlua::{Lua, UserDataFields, UserDataRegistry};

use super::instance_members;
use crate::methods::Methods;

/// One queue object. The same name and timeout give the same object.
#[derive(Debug)]
pub(crate) struct MemoryStoreQueue {
    pub(crate) name: Arc<str>,
    /// Seconds.
    pub(crate) invisible_for: i64,
}

pub(crate) fn register(
    lua: &Lua,
    registry: &mut UserDataRegistry<MemoryStoreQueue>,
    methods: Methods,
) -> mlua::Result<()> {
    instance_members(lua, registry, "MemoryStoreQueue", &[])?;
    for (name, function) in methods {
        registry.add_field(name, function);
    }
    Ok(())
}
