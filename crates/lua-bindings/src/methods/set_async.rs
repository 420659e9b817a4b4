//! `SetAsync` (spec §2.3): returns the version id of the new version.

use clawstore_core::CallError;
use clawstore_core::ops::{Reply, Request, Set};
use mlua::{Lua, Value as LuaValue};

use super::{Arguments, Told, one};
use crate::arguments;
use crate::classes::options::SET_OPTIONS;
use crate::convert::encode;
use crate::shared::Shared;
use crate::vm::{Started, Vm};

pub(crate) fn start(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    let key = arguments.entry_key()?;
    let value = arguments.at(2);
    if value.is_nil() {
        // To the letter: spec §2.3.3. Nothing is deleted.
        return Err(arguments::missing(2));
    }
    let encoded = encode(value).map_err(|refused| {
        vm.log(&format!("SetAsync {key}: {refused}"));
        refused.error
    })?;
    if let Some(place) = encoded.dropped_at {
        vm.log(&format!("SetAsync {key}: string keys of a mixed table were dropped ({place})"));
    }
    let attributes = arguments::attributes(key.store.kind, arguments.at(3), arguments.at(4), SET_OPTIONS)?;
    vm.write(lua, key, Request::Set(Set { value: encoded.value, attributes }))
}

pub(crate) fn finish(lua: &Lua, reply: &Reply) -> mlua::Result<Told> {
    match reply {
        Reply::Entry(entry) => Ok(one(LuaValue::String(lua.create_string(entry.version().to_string())?))),
        _ => Ok(one(LuaValue::Nil)),
    }
}
