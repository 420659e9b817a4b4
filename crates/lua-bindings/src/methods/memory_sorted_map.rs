//! The methods of `MemoryStoreSortedMap` (spec §7.1).
//!
//! Owns: what each takes and returns. Does not own: order, expiry (`core::memory_store`).

use clawstore_core::CallError;
use clawstore_core::memory_store::{Direction, MemoryCall, MemoryError, MemoryReply, RangeBound, SortedMapCall, Write};
use clawstore_core::ops::Reply;
use mlua::{Lua, Table, Value as LuaValue};

use super::memory_store::{self, SERVICE, submit};
use super::{Arguments, Maker, Method, Methods, Told, one, two};
use crate::arguments;
use crate::classes::memory_store_sorted_map::MemoryStoreSortedMap;
use crate::convert::decode;
use crate::shared::Shared;
use crate::vm::{Started, Vm};

const METHODS: &[Method] = &[
    Method { service: SERVICE, name: "GetAsync", start: start_get, finish: finish_get },
    Method { service: SERVICE, name: "SetAsync", start: start_set, finish: memory_store::finish_set },
    Method { service: SERVICE, name: "RemoveAsync", start: start_remove, finish: memory_store::finish_done },
    Method { service: SERVICE, name: "GetRangeAsync", start: start_range, finish: finish_range },
    Method { service: SERVICE, name: "GetSizeAsync", start: start_size, finish: memory_store::finish_size },
];

const UPDATE: &str = "UpdateAsync";
const UPDATE_PARTS: memory_store::Update = memory_store::Update {
    read: &Method { service: SERVICE, name: UPDATE, start: start_read, finish: memory_store::finish_read },
    write: &Method { service: SERVICE, name: UPDATE, start: start_write, finish: memory_store::finish_set },
    pause: &Method {
        service: SERVICE,
        name: UPDATE,
        start: memory_store::start_pause,
        finish: memory_store::finish_pause,
    },
    is_sorted: true,
};

/// `(name, number)` of the items of `Enum.SortDirection`.
const SORT_DIRECTION: [(&str, i64); 2] = [("Ascending", 0), ("Descending", 1)];

pub(crate) fn methods(lua: &Lua, vm: &Shared<Vm>, maker: &Maker<'_>) -> mlua::Result<Methods> {
    let mut methods = maker.functions(METHODS)?;
    methods.push((UPDATE, memory_store::update(lua, vm, maker, &UPDATE_PARTS)?));
    Ok(methods)
}

fn call(arguments: &Arguments, call: SortedMapCall) -> Result<MemoryCall, CallError> {
    Ok(MemoryCall::SortedMap(arguments.this::<MemoryStoreSortedMap>()?.name.clone(), call))
}

fn start_get(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    submit(vm, lua, call(arguments, SortedMapCall::Get(memory_store::key(arguments)?))?)
}

fn finish_get(lua: &Lua, reply: &Reply) -> mlua::Result<Told> {
    match memory_store::item(reply)? {
        None => Ok(two(LuaValue::Nil, LuaValue::Nil)),
        Some(item) => {
            let sort_key = memory_store::sort_key_value(lua, item.sort_key.as_ref())?;
            Ok(two(decode(lua, item.value.json())?, sort_key))
        }
    }
}

fn start_set(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    let key = memory_store::key(arguments)?;
    let write = Write {
        value: memory_store::value(vm, arguments.at(2), 2)?,
        expires_in: memory_store::expiration(arguments, 3)?,
        sort_key: memory_store::sort_key(arguments.at(4))?,
        expected: None,
    };
    submit(vm, lua, call(arguments, SortedMapCall::Set(key, write))?)
}

fn start_remove(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    submit(vm, lua, call(arguments, SortedMapCall::Remove(memory_store::key(arguments)?))?)
}

fn start_size(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    submit(vm, lua, call(arguments, SortedMapCall::Size)?)
}

fn start_range(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    let direction = match arguments::enum_value(arguments.at(1), 1, "SortDirection", &SORT_DIRECTION)? {
        0 => Direction::Ascending,
        _ => Direction::Descending,
    };
    let count = memory_store::count(arguments, 2)?;
    let (lower, upper) = (bound(arguments.at(3))?, bound(arguments.at(4))?);
    submit(vm, lua, call(arguments, SortedMapCall::Range { direction, count, lower, upper })?)
}

/// A table with `key` and `sortKey`, one of them or none; or a key, as old code passes it.
fn bound(value: &LuaValue) -> Result<RangeBound, CallError> {
    let field = |table: &Table, name: &str| table.raw_get(name).unwrap_or(LuaValue::Nil);
    let key = |value: &LuaValue| memory_store::text(value, 1, "key of a bound");
    match value {
        LuaValue::Nil => Ok(RangeBound::default()),
        LuaValue::String(_) | LuaValue::Integer(_) | LuaValue::Number(_) => {
            Ok(RangeBound { key: Some(key(value)?), sort_key: None })
        }
        LuaValue::Table(table) => {
            let key = match field(table, "key") {
                LuaValue::Nil => None,
                value => Some(key(&value)?),
            };
            Ok(RangeBound { key, sort_key: memory_store::sort_key(&field(table, "sortKey"))? })
        }
        _ => Err(MemoryError::invalid("A bound must be a table with key and sortKey.").into()),
    }
}

fn finish_range(lua: &Lua, reply: &Reply) -> mlua::Result<Told> {
    let items = match memory_store::answered(reply)? {
        MemoryReply::Range(items) => items,
        other => return Err(memory_store::unexpected(other)),
    };
    let found = lua.create_table_with_capacity(items.len(), 0)?;
    for item in items {
        let entry = lua.create_table_with_capacity(0, 3)?;
        entry.raw_set("key", &*item.key)?;
        entry.raw_set("value", decode(lua, item.value.json())?)?;
        entry.raw_set("sortKey", memory_store::sort_key_value(lua, item.sort_key.as_ref())?)?;
        found.raw_push(entry)?;
    }
    Ok(one(LuaValue::Table(found)))
}

fn start_read(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    let get = call(arguments, SortedMapCall::Get(memory_store::key(arguments)?))?;
    memory_store::read_for_update(vm, lua, arguments, get)
}

fn start_write(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    let name = arguments.this::<MemoryStoreSortedMap>()?.name.clone();
    memory_store::write_of_update(vm, lua, arguments, |key, write| {
        MemoryCall::SortedMap(name, SortedMapCall::Set(key, write))
    })
}
