//! `RemoveAsync` (spec §2.6): the value and key info that were current, or two nils.

use clawstore_core::CallError;
use clawstore_core::ops::{Reply, Request};
use mlua::Lua;

use super::{Arguments, Told, get_async};
use crate::shared::Shared;
use crate::vm::{Started, Vm};

pub(crate) fn start(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    let key = arguments.entry_key()?;
    vm.write(lua, key, Request::Remove)
}

pub(crate) fn finish(lua: &Lua, reply: &Reply) -> mlua::Result<Told> {
    get_async::finish(lua, reply)
}
