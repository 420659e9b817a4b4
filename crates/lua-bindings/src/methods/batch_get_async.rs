//! `BatchGetAsync` (spec §3.3): the values of up to 100 keys of an ordered store, by key; keys without a value are left out.

use std::collections::HashSet;

use clawstore_core::limits::BATCH_GET_KEYS_MAX;
use clawstore_core::ops::{Look, Reply};
use clawstore_core::{CallError, EntryKey};
use mlua::{Lua, Table, Value as LuaValue};

use super::{Arguments, Told, one};
use crate::arguments;
use crate::classes::ordered_data_store::OrderedDataStore;
use crate::convert::decode;
use crate::shared::Shared;
use crate::vm::{Started, Vm};

pub(crate) fn start(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    let store = arguments.this::<OrderedDataStore>()?.0.clone();
    let mut keys = Vec::new();
    for (index, key) in self::keys(arguments.at(1))?.into_iter().enumerate() {
        keys.push(EntryKey::new(&store, &arguments::string(&key, index + 1)?)?);
    }
    let mut seen = HashSet::new();
    if let Some(twice) = keys.iter().find(|key| !seen.insert(&key.key)) {
        return Err(CallError::argument(format_args!("BatchGetAsync: the key {} is there twice", twice.key)));
    }
    let look = Look::Batch(keys.clone());
    Ok(vm.look_with(lua, look, Box::new(move |lua, reply| finish(lua, &keys, reply))))
}

/// The keys of an array. The second argument of the call is ignored.
fn keys(value: &LuaValue) -> Result<Vec<LuaValue>, CallError> {
    let table = match value {
        LuaValue::Nil => return Err(arguments::missing(1)),
        LuaValue::Table(table) => table,
        _ => return Err(CallError::argument("Unable to cast to Array")),
    };
    let length = table.raw_len();
    if !is_array(table, length) {
        return Err(CallError::argument("Unable to cast to Array"));
    }
    if !(1..=BATCH_GET_KEYS_MAX).contains(&length) {
        return Err(CallError::argument(format_args!("BatchGetAsync takes 1 to {BATCH_GET_KEYS_MAX} keys")));
    }
    (1..=length).map(|index| table.raw_get(index).map_err(|_| CallError::internal())).collect()
}

/// Has it so many elements, and nothing else?
fn is_array(table: &Table, length: usize) -> bool {
    let mut count = 0;
    let counted = table.for_each(|_: LuaValue, _: LuaValue| {
        count += 1;
        Ok(())
    });
    counted.is_ok() && count == length
}

/// `{[key] = {value = value}}`.
fn finish(lua: &Lua, keys: &[EntryKey], reply: &Reply) -> mlua::Result<Told> {
    let found = lua.create_table()?;
    let entries: &[_] = if let Reply::Entries(entries) = reply { entries } else { &[] };
    for (key, entry) in keys.iter().zip(entries) {
        if let Some(value) = &entry.value {
            let item = lua.create_table_with_capacity(0, 1)?;
            item.raw_set("value", decode(lua, value.json())?)?;
            found.raw_set(&*key.key, item)?;
        }
    }
    Ok(one(LuaValue::Table(found)))
}

/// Standard stores inherit the method, which says that it is not for them.
pub(crate) fn start_on_standard(_: &Shared<Vm>, _: &Lua, _: &Arguments) -> Result<Started, CallError> {
    Err(CallError::argument("BatchGetAsync is only supported by OrderedDataStore"))
}
