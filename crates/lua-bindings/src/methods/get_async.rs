//! `GetAsync` (spec §2.1): value and key info, or two nils.

use clawstore_core::CallError;
use clawstore_core::ops::Reply;
use mlua::{Lua, UserDataRef, Value as LuaValue};

use super::{Arguments, Told, two};
use crate::classes::key_info;
use crate::classes::options::GetOptions;
use crate::convert::decode;
use crate::shared::Shared;
use crate::vm::{Ended, Started, Vm};

pub(crate) fn start(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    let key = arguments.entry_key()?;
    let use_cache = match arguments.at(2) {
        LuaValue::Nil => true,
        options => get_options(options)?.use_cache,
    };
    let Some(cache) = &vm.store_cache else { return Ok(vm.read(lua, key, use_cache)) };
    // What this object does not remember is read past every other cache.
    let may_show = use_cache && vm.server.takes_calls() && !vm.gate.waits_to_write(&key);
    let shown = may_show.then(|| cache.at_hand(arguments.object(), &key, vm.clock())).flatten();
    Ok(match shown {
        Some(entry) => Started::Ended(Ended::Done(Ok(Reply::Entry(entry)))),
        None => vm.read(lua, key, false),
    })
}

fn get_options(value: &LuaValue) -> Result<UserDataRef<GetOptions>, CallError> {
    let options = value.as_userdata().and_then(|options| options.borrow::<GetOptions>().ok());
    options.ok_or_else(|| CallError::argument("Unable to cast value to DataStoreGetOptions"))
}

/// The value alone: ordered stores have no key info.
pub(crate) fn finish_ordered(lua: &Lua, reply: &Reply) -> mlua::Result<Told> {
    match reply {
        Reply::Entry(entry) => {
            let value = entry.value.as_ref().map_or(Ok(LuaValue::Nil), |value| decode(lua, value.json()))?;
            Ok(two(value, LuaValue::Nil))
        }
        _ => Ok(two(LuaValue::Nil, LuaValue::Nil)),
    }
}

pub(crate) fn finish(lua: &Lua, reply: &Reply) -> mlua::Result<Told> {
    match reply {
        Reply::Entry(entry) => match &entry.value {
            Some(value) => Ok(two(decode(lua, value.json())?, key_info::create(lua, entry)?)),
            None => Ok(two(LuaValue::Nil, LuaValue::Nil)),
        },
        _ => Ok(two(LuaValue::Nil, LuaValue::Nil)),
    }
}
