//! `GetVersionAsync` (spec §2.7): value and key info of one version; nil and its info for a tombstone, two nils for a version
//! that is not kept or never was.

use std::sync::Arc;

use clawstore_core::ops::{Look, Reply};
use clawstore_core::{CallError, Entry};
use mlua::{Lua, Value as LuaValue};

use super::{Arguments, Told, two};
use crate::arguments;
use crate::classes::key_info;
use crate::convert::decode;
use crate::shared::Shared;
use crate::vm::{Ended, Started, Vm};

pub(crate) fn start(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    let key = arguments.standard_entry_key()?;
    let version = arguments::string(arguments.at(2), 2)?;
    let Some(id) = std::str::from_utf8(&version).ok().and_then(|id| id.parse().ok()) else {
        // What no version is called is as unknown as any other.
        return Ok(Started::Ended(Ended::Done(Ok(Reply::Entry(Arc::new(Entry::default()))))));
    };
    Ok(vm.look(lua, Look::Version(key, id)))
}

pub(crate) fn finish(lua: &Lua, reply: &Reply) -> mlua::Result<Told> {
    match reply {
        Reply::Entry(entry) if entry.revision > 0 => {
            let value = entry.value.as_ref().map_or(Ok(LuaValue::Nil), |value| decode(lua, value.json()))?;
            Ok(two(value, key_info::create(lua, entry)?))
        }
        _ => Ok(two(LuaValue::Nil, LuaValue::Nil)),
    }
}
