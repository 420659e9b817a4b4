//! `IncrementAsync` (spec §2.5): the new value and its key info.

use clawstore_core::CallError;
use clawstore_core::ops::{Increment, Reply, Request};
use mlua::Lua;

use super::{Arguments, Told, get_async};
use crate::arguments;
use crate::classes::options::INCREMENT_OPTIONS;
use crate::shared::Shared;
use crate::vm::{Started, Vm};

pub(crate) fn start(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    let key = arguments.entry_key()?;
    let delta = arguments::integer(arguments.at(2), 1, 2)?;
    let attributes = arguments::attributes(arguments.at(3), arguments.at(4), INCREMENT_OPTIONS)?;
    vm.write(lua, key, Request::Increment(Increment { delta, attributes }))
}

pub(crate) fn finish(lua: &Lua, reply: &Reply) -> mlua::Result<Told> {
    get_async::finish(lua, reply)
}
