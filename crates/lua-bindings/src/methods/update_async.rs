//! `UpdateAsync` (spec §2.4): the new value and its key info; a single nil if the transform cancelled or failed.

use clawstore_core::ops::Reply;
use clawstore_core::{CallError, EntryKey};
use mlua::{Lua, Value as LuaValue};

use super::{Arguments, Told, get_async, one};
use crate::arguments;
use crate::vm::{Started, Vm};

pub(super) fn start(vm: &Vm, lua: &Lua, key: EntryKey, arguments: &Arguments) -> Result<Started, CallError> {
    match arguments.at(2) {
        LuaValue::Nil => Err(arguments::missing(2)),
        LuaValue::Function(transform) => Ok(vm.update(lua, key, transform.clone())),
        other => Err(CallError::argument(format_args!("Unable to cast {} to function", arguments::type_name(other)))),
    }
}

pub(super) fn finish(lua: &Lua, reply: &Reply) -> mlua::Result<Told> {
    match reply {
        Reply::Entry(_) => get_async::finish(lua, reply),
        Reply::Cancelled => Ok(one(LuaValue::Nil)),
    }
}
