//! The runtime's use of the VM's one interrupt slot.
//!
//! Owns: putting the script time limit into it, and lending it to whoever needs the slot for a while. Does not own the
//! limit itself (`guard.rs`).

use mlua::{Lua, MaybeSend, MaybeSync, Result, VmState};

use crate::runtime::Runtime;
use crate::shared::Shared;

impl Runtime {
    pub(crate) fn install_interrupt(&self) {
        if self.executor.engine.guard.is_on() {
            let hook = self.interrupt();
            self.executor.lua.set_interrupt(hook);
        }
    }

    /// The function that the runtime keeps in the VM's interrupt slot: it ends scripts that run for too long. Whoever
    /// takes the slot calls this function in its own, and puts it back.
    pub fn interrupt(&self) -> impl Fn(&Lua) -> Result<VmState> + MaybeSend + MaybeSync + 'static {
        let engine = Shared::clone(&self.executor.engine);
        move |lua| engine.guard.check(lua)
    }
}
