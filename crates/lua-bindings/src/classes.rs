//! The classes that scripts see.
//!
//! Owns: one file per class, with its members; how a class is registered so that `typeof` is `Instance` and errors are
//! strings. Does not own: the yielding methods (`methods`).

pub(crate) mod connection;
pub(crate) mod data_store;
pub(crate) mod data_store_service;
pub(crate) mod enums;
pub(crate) mod key_info;
pub(crate) mod listed;
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
use mlua::{
    AnyUserData, FromLuaMulti, Function, IntoLua, Lua, MaybeSend, UserDataFields, UserDataRegistry, Value as LuaValue,
};

use crate::methods::not_a_member;

/// What a method that does not yield returns to its Luau wrapper: whether it succeeded, and the value or error text.
pub(crate) type Guarded = (bool, LuaValue);

/// Wraps a Rust function so that its error reaches Luau as a string: a Rust error would arrive as userdata, and
/// libraries match error texts.
pub(crate) fn guarded<A: FromLuaMulti, R: IntoLua>(
    lua: &Lua,
    f: impl Fn(&Lua, A) -> mlua::Result<Result<R, CallError>> + MaybeSend + 'static,
) -> mlua::Result<Function> {
    let inner = lua.create_function(move |lua, arguments: A| -> mlua::Result<Guarded> {
        let text = match f(lua, arguments) {
            Ok(Ok(value)) => return Ok((true, value.into_lua(lua)?)),
            Ok(Err(error)) => lua.create_string(&*error.text)?,
            Err(error) => lua.create_string(error.to_string())?,
        };
        Ok((false, LuaValue::String(text)))
    })?;
    lua.load(include_str!("guard.luau")).set_name("=DataStoreService").call(inner)
}

/// A method that does not yield. What it is called on is looked at here, so that any value may be; `A` must be Luau values,
/// for the same reason.
pub(crate) fn add_method<T: 'static, A: FromLuaMulti, R: IntoLua>(
    lua: &Lua,
    registry: &mut UserDataRegistry<T>,
    name: &'static str,
    f: impl Fn(&Lua, &T, A) -> mlua::Result<Result<R, CallError>> + MaybeSend + 'static,
) -> mlua::Result<()> {
    let method = guarded(lua, move |lua, (this, arguments): (LuaValue, A)| {
        match this.as_userdata().and_then(|this| this.borrow::<T>().ok()) {
            Some(this) => f(lua, &this, arguments),
            None => Ok(Err(not_a_member(name))),
        }
    })?;
    registry.add_field(name, method);
    Ok(())
}

/// Makes an error of every member that objects of a class do not have. Those that it has are found as fast as before: in the
/// table that `__index` is, whose metatable is asked for the others.
pub(crate) fn no_other_members<T>(
    lua: &Lua,
    registry: &mut UserDataRegistry<T>,
    described: String,
) -> mlua::Result<()> {
    let (missing, assign) = refusals(lua, lua.create_function(move |_, _: LuaValue| Ok(described.clone()))?)?;
    let members = lua.create_table()?;
    members.set_metatable(Some(lua.create_table_from([("__index", missing)])?))?;
    registry.add_meta_field("__index", members);
    registry.add_meta_field("__newindex", assign);
    Ok(())
}

/// The same for a class whose objects are not described alike.
pub(crate) fn no_other_members_of<T>(
    lua: &Lua,
    registry: &mut UserDataRegistry<T>,
    describe: fn(&T) -> String,
) -> mlua::Result<()>
where
    T: 'static,
{
    let describe = lua.create_function(move |_, this: AnyUserData| Ok(describe(&*this.borrow::<T>()?)))?;
    let (missing, assign) = refusals(lua, describe)?;
    registry.add_meta_field("__index", missing);
    registry.add_meta_field("__newindex", assign);
    Ok(())
}

fn refusals(lua: &Lua, describe: Function) -> mlua::Result<(Function, Function)> {
    lua.load(include_str!("classes/members.luau")).set_name("=DataStoreService").call(describe)
}

/// The members that every Instance has.
pub(crate) fn instance_members<T: 'static>(
    lua: &Lua,
    registry: &mut UserDataRegistry<T>,
    class: &'static str,
    ancestors: &'static [&'static str],
) -> mlua::Result<()> {
    use mlua::{MetaMethod, UserDataMethods};
    registry.add_meta_field("__type", "Instance");
    registry.add_meta_function(MetaMethod::ToString, move |_, _: LuaValue| Ok(class));
    registry.add_field("ClassName", class);
    registry.add_field("Name", class);
    no_other_members(lua, registry, format!("{class} \"{class}\""))?;
    add_method(lua, registry, "IsA", move |_, _, name: LuaValue| Ok(Ok(is_a(&name, class, ancestors))))
}

fn is_a(name: &LuaValue, class: &str, ancestors: &[&str]) -> bool {
    let Some(name) = name.as_string() else { return false };
    let name = name.as_bytes();
    [class, "Instance"].iter().chain(ancestors).any(|known| known.as_bytes() == &*name)
}
