//! Running transforms of `UpdateAsync`.
//!
//! Owns: the arguments and results of a transform, its CPU limit, and what becomes of one that raises, yields, runs too
//! long or calls the store (`decisions.md` 18). Does not own: when it runs (`vm`), whether its result is accepted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use clawstore_core::entry::Attributes;
use clawstore_core::key_machine::Head;
use clawstore_core::ops::Set;
use clawstore_core::vm_queue::{Transform, TransformFailed};
use clawstore_core::{CallError, ErrorCode, StoreKind};
use mlua::{Function, IntoLuaMulti, Lua, MaybeSend, MaybeSync, MultiValue, Value as LuaValue, VmState};
use rustix::time::{ClockId, clock_gettime};

use crate::arguments;
use crate::classes::key_info;
use crate::convert::{decode, encode};
use crate::vm::{Ended, Vm};

/// A host's own interrupt function.
#[cfg(feature = "send")]
pub type InterruptHook = Arc<dyn Fn(&Lua) -> mlua::Result<VmState> + Send + Sync>;
/// A host's own interrupt function.
#[cfg(not(feature = "send"))]
pub type InterruptHook = Arc<dyn Fn(&Lua) -> mlua::Result<VmState>>;

/// Who uses the VM's one interrupt slot (`decisions.md` 28).
#[derive(Clone, Default)]
pub enum Interrupt {
    /// The bindings, while a transform runs; it is empty otherwise.
    #[default]
    Ours,
    /// The host: its function is called during transforms too, and is put back after each.
    Host(InterruptHook),
}

impl Interrupt {
    /// The host's own function.
    pub fn host(hook: impl Fn(&Lua) -> mlua::Result<VmState> + MaybeSend + MaybeSync + 'static) -> Self {
        Self::Host(Arc::new(hook))
    }
}

impl std::fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ours => "Ours",
            Self::Host(_) => "Host",
        })
    }
}

/// Interrupts between two looks at the CPU clock: a look is a system call.
const INTERRUPTS_PER_LOOK: u32 = 64;

/// Runs the transforms of one VM.
pub(crate) struct Runner<'a> {
    lua: &'a Lua,
    vm: &'a Vm,
    /// Of the store of the key.
    kind: StoreKind,
    /// Calls that ended here, and how.
    pub(crate) failed: Vec<(u64, Ended)>,
}

impl<'a> Runner<'a> {
    pub(crate) fn new(lua: &'a Lua, vm: &'a Vm, kind: StoreKind) -> Self {
        Self { lua, vm, kind, failed: Vec::new() }
    }

    fn arguments(&self, head: &Head) -> mlua::Result<(LuaValue, LuaValue)> {
        match &head.entry.value {
            None => Ok((LuaValue::Nil, LuaValue::Nil)),
            Some(value) => {
                let info = match self.kind {
                    StoreKind::Standard => key_info::create(self.lua, &head.entry)?,
                    StoreKind::Ordered => LuaValue::Nil,
                };
                Ok((decode(self.lua, value.json())?, info))
            }
        }
    }

    fn result(&self, results: &MultiValue) -> Result<Option<Set>, CallError> {
        let at = |index: usize| results.get(index).cloned().unwrap_or(LuaValue::Nil);
        if at(0).is_nil() {
            return Ok(None);
        }
        let encoded = encode(&at(0)).map_err(|refused| {
            self.vm.log(&format!("UpdateAsync: {refused}"));
            refused.error
        })?;
        if let Some(place) = encoded.dropped_at {
            self.vm.log(&format!("UpdateAsync: string keys of a mixed table were dropped ({place})"));
        }
        let attributes = Attributes { user_ids: arguments::user_ids(&at(1))?, metadata: arguments::metadata(&at(2))? };
        let set = Set { value: encoded.value, attributes };
        self.vm.options.profile.check_value(self.kind, &set.value)?;
        set.validate(self.kind)?;
        Ok(Some(set))
    }
}

impl Transform for Runner<'_> {
    type Handle = Function;

    fn run(&mut self, op: u64, transform: &Function, head: &Head) -> Result<Option<Set>, TransformFailed> {
        let arguments = match self.arguments(head) {
            Ok(arguments) => arguments,
            Err(error) => {
                let error = ErrorCode::ResponseMalformed
                    .error(format_args!("Can't parse response, data may be corrupted. {error}"));
                self.failed.push((op, Ended::Refused(error)));
                return Err(TransformFailed);
            }
        };
        match call(self.lua, self.vm, transform, arguments) {
            Err(problem) => {
                self.vm.log(&format!("Transform function error {problem}"));
                self.failed.push((op, Ended::TransformFailed));
                Err(TransformFailed)
            }
            Ok(results) => self.result(&results).map_err(|error| {
                self.failed.push((op, Ended::Refused(error)));
                TransformFailed
            }),
        }
    }
}

/// Calls a function that may not yield, within its CPU limit.
pub(crate) fn call(
    lua: &Lua,
    vm: &Vm,
    transform: &Function,
    arguments: impl IntoLuaMulti,
) -> Result<MultiValue, String> {
    let deadline = CpuDeadline::start(lua, &vm.options.interrupt, vm.options.transform_cpu);
    let called = vm.while_in_transform(|| transform.call::<MultiValue>(arguments));
    let expired = deadline.end();
    match called {
        _ if expired => Err(format!("exceeded its limit of {:?} of CPU time", vm.options.transform_cpu)),
        Ok(results) => Ok(results),
        Err(error) => Err(describe(&error)),
    }
}

/// The text of an error as a script would see it.
fn describe(error: &mlua::Error) -> String {
    let text = match error {
        mlua::Error::RuntimeError(text) => text.clone(),
        mlua::Error::CallbackError { cause, .. } => describe(cause),
        other => other.to_string(),
    };
    let line = text.split("\nstack traceback:").next().unwrap_or_default();
    if line.contains("attempt to yield across") || line.contains("Callbacks cannot yield") {
        // To the letter: spec §2.4.
        return "Callbacks cannot yield".to_owned();
    }
    line.to_owned()
}

/// Ends a transform that computes for too long. Sticky: once it has expired every further interrupt raises, so that a
/// `pcall` loop in the transform ends too.
struct CpuDeadline<'a> {
    lua: &'a Lua,
    interrupt: &'a Interrupt,
    expired: Arc<AtomicBool>,
}

impl<'a> CpuDeadline<'a> {
    fn start(lua: &'a Lua, interrupt: &'a Interrupt, limit: Duration) -> Self {
        let expired = Arc::new(AtomicBool::new(false));
        let (flag, until, calls) = (Arc::clone(&expired), cpu_time() + limit, AtomicU32::new(0));
        let host = match interrupt {
            Interrupt::Ours => None,
            Interrupt::Host(hook) => Some(Arc::clone(hook)),
        };
        lua.set_interrupt(move |lua| {
            let look = calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(INTERRUPTS_PER_LOOK);
            if flag.load(Ordering::Relaxed) || (look && cpu_time() > until) {
                flag.store(true, Ordering::Relaxed);
                return Err(mlua::Error::runtime("transform exceeded its CPU limit"));
            }
            host.as_ref().map_or(Ok(VmState::Continue), |hook| hook(lua))
        });
        Self { lua, interrupt, expired }
    }

    /// Gives the slot back. True if the limit was exceeded.
    fn end(self) -> bool {
        self.expired.load(Ordering::Relaxed)
    }
}

impl Drop for CpuDeadline<'_> {
    fn drop(&mut self) {
        match self.interrupt {
            Interrupt::Ours => self.lua.remove_interrupt(),
            Interrupt::Host(hook) => {
                let hook = Arc::clone(hook);
                self.lua.set_interrupt(move |lua| hook(lua));
            }
        }
    }
}

/// CPU time that this thread has used.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
