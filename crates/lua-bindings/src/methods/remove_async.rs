//! `RemoveAsync` (spec §2.6): the value and key info that were current, or two nils.

use clawstore_core::ops::{Reply, Request};
use clawstore_core::{CallError, EntryKey};
use mlua::Lua;

use super::{Arguments, Told, get_async};
use crate::vm::{Started, Vm};

pub(super) fn start(vm: &Vm, lua: &Lua, key: EntryKey, _: &Arguments) -> Result<Started, CallError> {
    vm.write(lua, key, Request::Remove)
}

pub(super) fn finish(lua: &Lua, reply: &Reply) -> mlua::Result<Told> {
    get_async::finish(lua, reply)
}
