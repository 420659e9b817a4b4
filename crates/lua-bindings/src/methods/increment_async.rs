//! `IncrementAsync` (spec §2.5): the new value and its key info.

use clawstore_core::CallError;
use clawstore_core::ops::increment::out_of_range;
use clawstore_core::ops::{Increment, Reply, Request};
use mlua::Lua;

use super::{Arguments, Told, get_async};
use crate::arguments;
use crate::classes::options::INCREMENT_OPTIONS;
use crate::shared::Shared;
use crate::vm::{Started, Vm};

/// No whole number of the store is so large, so no result of adding one is.
const BEYOND_INT64: f64 = 9_223_372_036_854_775_808.0;

pub(crate) fn start(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    let key = arguments.entry_key()?;
    let delta = arguments::integer(arguments.at(2), 1, 2)?;
    if arguments.at(2).as_number().is_some_and(|delta| delta.abs() >= BEYOND_INT64) {
        return Err(out_of_range(key.store.kind));
    }
    let attributes = arguments::attributes(key.store.kind, arguments.at(3), arguments.at(4), INCREMENT_OPTIONS)?;
    vm.write(lua, key, Request::Increment(Increment { delta, attributes }))
}

pub(crate) fn finish(lua: &Lua, reply: &Reply) -> mlua::Result<Told> {
    get_async::finish(lua, reply)
}
