//! `DataStoreKeyInfo` (spec §2.8): what is known about one revision.
//!
//! Owns: its members. Does not own: how a version id is written (`core::entry`).

use std::sync::Arc;

use clawstore_core::Entry;
use mlua::{Lua, UserDataFields, UserDataRegistry, Value as LuaValue};

use super::{add_method, instance_members};
use crate::convert::decode;

/// One revision, as scripts see it.
#[derive(Debug)]
pub(crate) struct KeyInfo(Arc<Entry>);

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 and user ids are well below 2^53")]
pub(crate) fn register(lua: &Lua, registry: &mut UserDataRegistry<KeyInfo>) -> mlua::Result<()> {
    instance_members(lua, registry, "DataStoreKeyInfo", &[])?;
    registry.add_field_method_get("Version", |_, info| Ok(info.0.version().to_string()));
    registry.add_field_method_get("CreatedTime", |_, info| Ok(info.0.created.unix_ms() as f64));
    registry.add_field_method_get("UpdatedTime", |_, info| Ok(info.0.updated.unix_ms() as f64));
    add_method(lua, registry, "GetUserIds", |lua, info, ()| {
        lua.create_sequence_from(info.0.attributes.user_ids.iter().map(|&id| id as f64)).map(Ok)
    })?;
    add_method(lua, registry, "GetMetadata", |lua, info, ()| match &info.0.attributes.metadata {
        none if none.is_empty() => Ok(Ok(LuaValue::Table(lua.create_table()?))),
        metadata => decode(lua, metadata).map(Ok),
    })
}

/// The info of an entry that has a value.
pub(crate) fn create(lua: &Lua, entry: &Arc<Entry>) -> mlua::Result<LuaValue> {
    lua.create_any_userdata(KeyInfo(Arc::clone(entry))).map(LuaValue::UserData)
}
