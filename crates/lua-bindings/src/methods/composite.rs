//! Calls of scripts that are made of several of the store: `UpdateAsync` and `ReadAsync` of memory stores.
//!
//! Owns: that they are one call to whoever simulates: its conditions are asked for in the first part and hold for all of them.
//! Does not own: the parts, and how they follow each other (`memory_update.luau`, `memory_read.luau`).

use clawstore_core::CallError;
use mlua::{AnyUserData, Function, UserDataRefMut, Value as LuaValue};

use super::{Arguments, Maker, Method, log_error};
use crate::classes::guarded;
use crate::shared::Shared;

/// Where a part finds the call that it may be the first of: the last argument.
const POSITION: usize = 5;

/// One call of a script, in a simulated run.
#[derive(Debug, Default)]
pub(super) struct Composite {
    is_begun: bool,
    /// What the script is told if the last part succeeds.
    pub(super) lost: Option<CallError>,
}

impl Composite {
    /// The call that begins with this part, if one does.
    pub(super) fn begins(arguments: &Arguments) -> Option<UserDataRefMut<Self>> {
        let LuaValue::UserData(call) = arguments.at(POSITION) else { return None };
        let mut call = call.borrow_mut::<Self>().ok().filter(|call| !call.is_begun)?;
        call.is_begun = true;
        Some(call)
    }
}

/// What the Luau part of such a method has around its parts: `open()` gives the call, which is handed to parts that may be
/// first; `close(call)` raises if its answer is lost. Neither is there unless calls are controlled.
pub(super) type Ends = (Option<Function>, Option<Function>);

impl Maker<'_> {
    /// The ends of a method whose last part this is.
    pub(super) fn ends(&self, last: &'static Method) -> mlua::Result<Ends> {
        if self.vm.options.control.is_none() {
            return Ok((None, None));
        }
        let open = self.lua.create_function(|lua, ()| lua.create_any_userdata(Composite::default()))?;
        let vm = Shared::clone(self.vm);
        let close = guarded(self.lua, move |_, call: AnyUserData| {
            let lost = call.borrow_mut::<Composite>()?.lost.take();
            Ok(lost.map_or(Ok(LuaValue::Nil), |error| {
                log_error(&vm, last, None, &error);
                Err(error)
            }))
        })?;
        Ok((Some(open), Some(close)))
    }
}
