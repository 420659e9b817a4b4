//! `GetVersionAtTimeAsync` (spec §2.1, §2.7): value and key info of the version that was current at a time, as
//! `GetVersionAsync` returns them.

use clawstore_core::clock::Timestamp;
use clawstore_core::limits::VERSION_TIME_AHEAD;
use clawstore_core::ops::Look;
use clawstore_core::{CallError, ErrorCode};
use mlua::Lua;

use super::Arguments;
use crate::arguments;
use crate::shared::Shared;
use crate::vm::{Started, Vm};

pub(crate) use super::get_version_async::finish;

pub(crate) fn start(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    let key = arguments.standard_entry_key()?;
    let at = arguments.at(2);
    if at.is_nil() {
        return Err(arguments::missing(2));
    }
    let last = vm.server.wall().later(VERSION_TIME_AHEAD).unix_ms();
    let at = u64::try_from(arguments::integer(at, 0, 2)?).ok().filter(|at| (1..=last).contains(at));
    let at = at.ok_or_else(|| {
        ErrorCode::InvalidTimestamp
            .error("InvalidTimestamp: The timestamp must be positive and no more than 10 minutes in the future.")
    })?;
    // Times are shown in milliseconds, cut off: what was written in the last of them counts.
    Ok(vm.look(lua, Look::VersionAt(key, Timestamp::end_of_unix_ms(at))))
}
