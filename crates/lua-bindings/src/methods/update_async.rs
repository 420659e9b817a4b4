//! `UpdateAsync` (spec §2.4): the new value and its key info; a single nil if the transform cancelled or failed.

use clawstore_core::CallError;
use clawstore_core::ops::Reply;
use mlua::{Lua, Value as LuaValue};

use super::{Arguments, Told, get_async, one};
use crate::arguments;
use crate::shared::Shared;
use crate::vm::{Started, Vm};

pub(crate) fn start(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    let key = arguments.entry_key()?;
    Ok(vm.update(lua, key, arguments::function(arguments.at(2), 2)?))
}

pub(crate) fn finish(lua: &Lua, reply: &Reply) -> mlua::Result<Told> {
    match reply {
        Reply::Entry(_) => get_async::finish(lua, reply),
        _ => Ok(one(LuaValue::Nil)),
    }
}

/// As [`finish`], without a key info.
pub(crate) fn finish_ordered(lua: &Lua, reply: &Reply) -> mlua::Result<Told> {
    match reply {
        Reply::Entry(_) => get_async::finish_ordered(lua, reply),
        _ => Ok(one(LuaValue::Nil)),
    }
}
