//! The methods of `MemoryStoreHashMap` and of its pages (spec §2.11, §7.1).
//!
//! Owns: what each takes and returns. Does not own: expiry (`core::memory_store`), the page that is loaded (`classes`).

use std::sync::Arc;

use clawstore_core::CallError;
use clawstore_core::memory_store::{HashMapCall, MemoryCall, MemoryReply, RangeItem, Write};
use clawstore_core::ops::Reply;
use mlua::{Lua, Value as LuaValue};

use super::memory_store::{self, SERVICE, submit, submit_with};
use super::{Arguments, Maker, Method, Methods, Told, none, one};
use crate::classes::memory_store_hash_map::{MemoryStoreHashMap, MemoryStoreHashMapPages};
use crate::convert::decode;
use crate::shared::Shared;
use crate::vm::{Started, Vm};

const METHODS: &[Method] = &[
    Method { service: SERVICE, name: "GetAsync", start: start_get, finish: finish_get },
    Method { service: SERVICE, name: "SetAsync", start: start_set, finish: memory_store::finish_set },
    Method { service: SERVICE, name: "RemoveAsync", start: start_remove, finish: memory_store::finish_done },
    // What it returns is made with what it was called with.
    Method { service: SERVICE, name: "ListItemsAsync", start: start_list, finish: memory_store::finish_done },
];

/// Of the pages.
pub(crate) const PAGES_METHODS: &[Method] = &[Method {
    service: SERVICE,
    name: "AdvanceToNextPageAsync",
    start: start_advance,
    finish: memory_store::finish_done,
}];

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
    is_sorted: false,
};

pub(crate) fn methods(lua: &Lua, vm: &Shared<Vm>, maker: &Maker<'_>) -> mlua::Result<Methods> {
    let mut methods = maker.functions(METHODS)?;
    methods.push((UPDATE, memory_store::update(lua, vm, maker, &UPDATE_PARTS)?));
    Ok(methods)
}

fn call(arguments: &Arguments, call: HashMapCall) -> Result<MemoryCall, CallError> {
    Ok(MemoryCall::HashMap(arguments.this::<MemoryStoreHashMap>()?.name.clone(), call))
}

fn start_get(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    submit(vm, lua, call(arguments, HashMapCall::Get(memory_store::key(arguments)?))?)
}

fn finish_get(lua: &Lua, reply: &Reply) -> mlua::Result<Told> {
    match memory_store::item(reply)? {
        None => Ok(one(LuaValue::Nil)),
        Some(item) => Ok(one(decode(lua, item.value.json())?)),
    }
}

fn start_set(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    let key = memory_store::key(arguments)?;
    let value = memory_store::value(vm, arguments.at(2), 2)?;
    let expires_in = memory_store::expiration(arguments, 3)?;
    let write = Write { value, sort_key: None, expires_in, expected: None };
    submit(vm, lua, call(arguments, HashMapCall::Set(key, write))?)
}

fn start_remove(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    submit(vm, lua, call(arguments, HashMapCall::Remove(memory_store::key(arguments)?))?)
}

fn start_list(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    let name = Arc::clone(&arguments.this::<MemoryStoreHashMap>()?.name);
    let count = memory_store::count(arguments, 1)?;
    let list = call(arguments, HashMapCall::List { after: None, count })?;
    submit_with(
        vm,
        lua,
        list,
        Box::new(move |lua, reply| {
            let (items, has_more) = page(reply)?;
            let pages = MemoryStoreHashMapPages { name, count, items, has_more };
            Ok(one(LuaValue::UserData(lua.create_any_userdata(pages)?)))
        }),
    )
}

fn page(reply: &Reply) -> mlua::Result<(Vec<RangeItem>, bool)> {
    match memory_store::answered(reply)? {
        MemoryReply::Page { items, has_more } => Ok((items.clone(), *has_more)),
        other => Err(memory_store::unexpected(other)),
    }
}

/// Loads the next page into the object.
fn start_advance(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    let pages = arguments.this::<MemoryStoreHashMapPages>()?;
    if !pages.has_more {
        return Err(CallError::argument("No pages to advance to"));
    }
    let after = pages.items.last().map(|item| Arc::clone(&item.key));
    let list = HashMapCall::List { after, count: pages.count };
    let call = MemoryCall::HashMap(Arc::clone(&pages.name), list);
    let object = arguments.object().clone();
    submit_with(
        vm,
        lua,
        call,
        Box::new(move |_, reply| {
            let mut pages = object.borrow_mut::<MemoryStoreHashMapPages>()?;
            (pages.items, pages.has_more) = page(reply)?;
            Ok(none())
        }),
    )
}

fn start_read(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    let get = call(arguments, HashMapCall::Get(memory_store::key(arguments)?))?;
    memory_store::read_for_update(vm, lua, arguments, get)
}

fn start_write(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    let name = arguments.this::<MemoryStoreHashMap>()?.name.clone();
    memory_store::write_of_update(vm, lua, arguments, |key, write| {
        MemoryCall::HashMap(name, HashMapCall::Set(key, write))
    })
}
