//! The options classes (spec §1.2): `DataStoreOptions`, `DataStoreSetOptions`, `DataStoreIncrementOptions`,
//! `DataStoreGetOptions`.
//!
//! Owns: their members. Does not own: what a call does with them.

use bytes::Bytes;
use clawstore_core::CallError;
use mlua::{Lua, MetaMethod, MultiValue, UserDataFields, UserDataMethods, UserDataRegistry, Value as LuaValue};

use super::{add_method, instance_members, is_a, no_other_members_of};
use crate::arguments;
use crate::convert::decode;
use crate::shared::{State, borrow};

/// `DataStoreOptions`.
#[derive(Debug, Default)]
pub(crate) struct StoreOptions {
    pub(crate) all_scopes: bool,
}

/// `DataStoreGetOptions`.
#[derive(Debug)]
pub(crate) struct GetOptions {
    pub(crate) use_cache: bool,
}

impl Default for GetOptions {
    fn default() -> Self {
        Self { use_cache: true }
    }
}

/// `DataStoreSetOptions` and `DataStoreIncrementOptions`: metadata, taken as a snapshot when it is set.
#[derive(Debug)]
pub(crate) struct MetadataOptions {
    class: &'static str,
    metadata: State<Bytes>,
}

/// One class of the two; a type of its own would need a second copy of its members.
pub(crate) const SET_OPTIONS: &str = "DataStoreSetOptions";
/// See [`SET_OPTIONS`].
pub(crate) const INCREMENT_OPTIONS: &str = "DataStoreIncrementOptions";

impl MetadataOptions {
    pub(crate) fn new(class: &'static str) -> Self {
        Self { class, metadata: State::default() }
    }

    pub(crate) fn class_name(&self) -> &'static str {
        self.class
    }

    pub(crate) fn metadata(&self) -> Bytes {
        borrow(&self.metadata).clone()
    }
}

pub(crate) fn register_store_options(lua: &Lua, registry: &mut UserDataRegistry<StoreOptions>) -> mlua::Result<()> {
    instance_members(lua, registry, "DataStoreOptions", &[])?;
    registry.add_field_method_get("AllScopes", |_, options| Ok(options.all_scopes));
    registry.add_field_method_set("AllScopes", |_, options, value: bool| {
        options.all_scopes = value;
        Ok(())
    });
    // Stores nothing that has an effect; old code still calls it (spec §1.2).
    registry.add_field("SetExperimentalFeatures", lua.create_function(|_, _: MultiValue| Ok(()))?);
    Ok(())
}

pub(crate) fn register_get_options(lua: &Lua, registry: &mut UserDataRegistry<GetOptions>) -> mlua::Result<()> {
    instance_members(lua, registry, "DataStoreGetOptions", &[])?;
    registry.add_field_method_get("UseCache", |_, options| Ok(options.use_cache));
    registry.add_field_method_set("UseCache", |_, options, value: bool| {
        options.use_cache = value;
        Ok(())
    });
    Ok(())
}

pub(crate) fn register_metadata_options(
    lua: &Lua,
    registry: &mut UserDataRegistry<MetadataOptions>,
) -> mlua::Result<()> {
    registry.add_meta_field("__type", "Instance");
    registry.add_field_method_get("ClassName", |_, options| Ok(options.class));
    registry.add_field_method_get("Name", |_, options| Ok(options.class));
    registry.add_meta_method(MetaMethod::ToString, |_, options, ()| Ok(options.class));
    no_other_members_of(lua, registry, |options| format!("{0} \"{0}\"", options.class))?;
    add_method(lua, registry, "IsA", |_, options, name: LuaValue| Ok(Ok(is_a(&name, options.class, &[]))))?;
    add_method(lua, registry, "SetMetadata", |_, options, value: LuaValue| Ok(set_metadata(options, &value)))?;
    add_method(lua, registry, "GetMetadata", get_metadata)
}

fn set_metadata(options: &MetadataOptions, value: &LuaValue) -> Result<LuaValue, CallError> {
    let metadata = match value {
        LuaValue::Nil => Err(arguments::missing(1)),
        LuaValue::Table(_) => arguments::metadata(value),
        _ => Err(CallError::argument("Unable to cast to Dictionary")),
    };
    *borrow(&options.metadata) = metadata?;
    Ok(LuaValue::Nil)
}

fn get_metadata(lua: &Lua, options: &MetadataOptions, (): ()) -> mlua::Result<Result<LuaValue, CallError>> {
    let metadata = options.metadata();
    if metadata.is_empty() {
        return lua.create_table().map(|table| Ok(LuaValue::Table(table)));
    }
    decode(lua, &metadata).map(Ok)
}
