//! The methods of `MemoryStoreQueue` (spec §7.1).
//!
//! Owns: what each takes and returns, and waiting for items: a look every two seconds. Does not own: the queue
//! (`core::memory_store`).

use std::time::Duration;

use clawstore_core::CallError;
use clawstore_core::limits::MEMORY_LOOK_EVERY;
use clawstore_core::memory_store::{MemoryCall, MemoryError, MemoryReply, Number, QueueCall};
use clawstore_core::ops::Reply;
use mlua::{Lua, Value as LuaValue};

use super::memory_store::{self, SERVICE, submit};
use super::{Arguments, Maker, Method, Methods, Told, two};
use crate::classes::memory_store_queue::MemoryStoreQueue;
use crate::convert::decode;
use crate::shared::Shared;
use crate::vm::{Started, Vm};

const METHODS: &[Method] = &[
    Method { service: SERVICE, name: "AddAsync", start: start_add, finish: memory_store::finish_done },
    Method { service: SERVICE, name: "RemoveAsync", start: start_remove, finish: memory_store::finish_done },
    Method { service: SERVICE, name: "GetSizeAsync", start: start_size, finish: memory_store::finish_size },
];

const READ: &str = "ReadAsync";
/// One look.
const LOOK: Method = Method { service: SERVICE, name: READ, start: start_look, finish: finish_look };
/// The time between two.
const WAIT: Method = Method { service: SERVICE, name: READ, start: start_wait, finish: memory_store::finish_pause };

pub(crate) fn methods(lua: &Lua, vm: &Shared<Vm>, maker: &Maker<'_>) -> mlua::Result<Methods> {
    let mut methods = maker.functions(METHODS)?;
    let wrap = lua.load(include_str!("memory_read.luau")).set_name("=MemoryStore").into_function()?;
    let clock_vm = Shared::clone(vm);
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970, to a fraction of a microsecond")]
    let clock = lua.create_function(move |_, ()| Ok(clock_vm.clock().ticks() as f64 / 1e7))?;
    let (open, close) = maker.ends(&LOOK)?;
    let parts = (open, close, maker.part(&LOOK)?, maker.part(&WAIT)?, MEMORY_LOOK_EVERY.as_secs_f64(), clock);
    methods.push((READ, wrap.call(parts)?));
    Ok(methods)
}

fn call(arguments: &Arguments, call: QueueCall) -> Result<MemoryCall, CallError> {
    Ok(MemoryCall::Queue(arguments.this::<MemoryStoreQueue>()?.name.clone(), call))
}

fn start_add(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    let value = memory_store::value(vm, arguments.at(1), 1)?;
    let expires_in = memory_store::expiration(arguments, 2)?;
    let priority = memory_store::number(arguments.at(3), 0.0, 3)?;
    let Some(priority) = Number::new(priority) else {
        return Err(MemoryError::invalid("The priority must be finite.").into());
    };
    submit(vm, lua, call(arguments, QueueCall::Add { value, expires_in, priority })?)
}

fn start_remove(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    submit(vm, lua, call(arguments, QueueCall::Remove(memory_store::text(arguments.at(1), 1, "id")?))?)
}

fn start_size(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    let exclude_invisible = memory_store::flag(arguments.at(1))?;
    submit(vm, lua, call(arguments, QueueCall::Size { exclude_invisible })?)
}

fn start_look(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    let invisible_for = arguments.this::<MemoryStoreQueue>()?.invisible_for;
    let count = memory_store::count(arguments, 1)?;
    let all_or_nothing = memory_store::flag(arguments.at(2))?;
    memory_store::number(arguments.at(3), -1.0, 3)?;
    submit(vm, lua, call(arguments, QueueCall::Read { count, all_or_nothing, invisible_for })?)
}

/// An array of values, and the name of the read if there are any.
fn finish_look(lua: &Lua, reply: &Reply) -> mlua::Result<Told> {
    let (values, id) = match memory_store::answered(reply)? {
        MemoryReply::Taken { values, id } => (values, id),
        other => return Err(memory_store::unexpected(other)),
    };
    let items = lua.create_table_with_capacity(values.len(), 0)?;
    for value in values {
        items.raw_push(decode(lua, value.json())?)?;
    }
    let id = match id {
        Some(id) => LuaValue::String(lua.create_string(&**id)?),
        None => LuaValue::Nil,
    };
    Ok(two(LuaValue::Table(items), id))
}

/// Called with seconds.
fn start_wait(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    let seconds = memory_store::number(arguments.at(1), 0.0, 1)?;
    Ok(vm.sleep(lua, Duration::try_from_secs_f64(seconds).unwrap_or_default()))
}
