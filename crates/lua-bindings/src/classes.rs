//! The classes that scripts see.
//!
//! Owns: one file per class, with its members; how a class is registered so that `typeof` is `Instance` and errors are
//! strings. Does not own: the yielding methods (`methods`).

pub(crate) mod data_store;
pub(crate) mod data_store_service;
pub(crate) mod enums;
pub(crate) mod key_info;
pub(crate) mod memory_store_hash_map;
pub(crate) mod memory_store_queue;
pub(crate) mod memory_store_service;
pub(crate) mod memory_store_sorted_map;
pub(crate) mod messaging_service;
pub(crate) mod options;
pub(crate) mod ordered_data_store;
pub(crate) mod pages;
pub(crate) mod version_info;

use clawstore_core::CallError;
use mlua::{FromLuaMulti, Function, IntoLua, Lua, MaybeSend, UserDataRegistry, Value as LuaValue};

/// What a method that does not yield returns to its Luau wrapper: whether it succeeded, and the value or error text.
pub(crate) type Guarded = (bool, LuaValue);

/// Wraps a Rust function so that its error reaches Luau as a string: a Rust error would arrive as userdata, and
/// libraries match error texts.
pub(crate) fn guarded<A: FromLuaMulti, R: IntoLua>(
    lua: &Lua,
    f: impl Fn(&Lua, A) -> mlua::Result<Result<R, CallError>> + MaybeSend + 'static,
) -> mlua::Result<Function> {
    let inner = lua.create_function(move |lua, arguments: A| -> mlua::Result<Guarded> {
        Ok(match f(lua, arguments)? {
            Ok(value) => (true, value.into_lua(lua)?),
            Err(error) => (false, LuaValue::String(lua.create_string(error.text.as_bytes())?)),
        })
    })?;
    lua.load(include_str!("guard.luau")).set_name("=DataStoreService").call(inner)
}

/// The members that every Instance has.
pub(crate) fn instance_members<T: 'static>(
    lua: &Lua,
    registry: &mut UserDataRegistry<T>,
    class: &'static str,
    ancestors: &'static [&'static str],
) -> mlua::Result<()> {
    use mlua::{MetaMethod, UserDataFields, UserDataMethods};
    registry.add_meta_field("__type", "Instance");
    registry.add_meta_function(MetaMethod::ToString, move |_, _: LuaValue| Ok(class));
    registry.add_field("ClassName", class);
    registry.add_field("Name", class);
    registry.add_field("IsA", is_a(lua, class, ancestors)?);
    Ok(())
}

fn is_a(lua: &Lua, class: &'static str, ancestors: &'static [&'static str]) -> mlua::Result<Function> {
    lua.create_function(move |_, (_, name): (LuaValue, LuaValue)| {
        let Some(name) = name.as_string() else { return Ok(false) };
        let name = name.as_bytes();
        Ok([class, "Instance"].iter().chain(ancestors).any(|known| known.as_bytes() == &*name))
    })
}
