//! `DataStoreObjectVersionInfo` (spec §2.11): a version in a list.
//!
//! Owns: its members. Does not own: the list (`pages`).

use clawstore_core::backend::VersionInfo;
use mlua::{Lua, UserDataFields, UserDataRegistry, Value as LuaValue};

use super::instance_members;

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are well below 2^53")]
pub(crate) fn register(lua: &Lua, registry: &mut UserDataRegistry<VersionInfo>) -> mlua::Result<()> {
    instance_members(lua, registry, "DataStoreObjectVersionInfo", &[])?;
    registry.add_field_method_get("Version", |_, version| Ok(version.id.to_string()));
    registry.add_field_method_get("CreatedTime", |_, version| Ok(version.id.updated.unix_ms() as f64));
    registry.add_field_method_get("IsDeleted", |_, version| Ok(version.is_deleted));
    Ok(())
}

pub(crate) fn create(lua: &Lua, version: VersionInfo) -> mlua::Result<LuaValue> {
    lua.create_any_userdata(version).map(LuaValue::UserData)
}
