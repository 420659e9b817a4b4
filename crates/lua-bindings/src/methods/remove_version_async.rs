//! `RemoveVersionAsync` (spec §2.1, §2.7; deprecated): a version is gone for good. Returns nothing, also if there is none.

use clawstore_core::CallError;
use clawstore_core::ops::Reply;
use mlua::Lua;

use super::Arguments;
use crate::arguments;
use crate::shared::Shared;
use crate::vm::{Ended, Started, Vm};

pub(crate) fn start(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    let key = arguments.standard_entry_key()?;
    let version = arguments::string(arguments.at(2), 2)?;
    Ok(match std::str::from_utf8(&version).ok().and_then(|id| id.parse().ok()) {
        Some(id) => vm.remove_version(lua, key, id),
        // What no version is called is as unknown as any other.
        None => Started::Ended(Ended::Done(Ok(Reply::Nothing))),
    })
}
