//! The limit of CPU time for one resumption of a script.
//!
//! Owns: when a script has run for too long and how it is ended. Does not own the VM's interrupt slot: the runtime puts
//! [`Guard::check`] into it.
//!
//! Once the time is over every further interrupt in a script raises, so that a `pcall` in a loop ends too. Only when the
//! error has ended a thread and is reported does the time begin anew, for the threads that go on after it; and that a few
//! times at most, so that a loop of such threads ends as well.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use mlua::{Error, Lua, Result, VmState};
use rustix::time::{ClockId, clock_gettime};

use crate::limits::TIMEOUTS_PER_ENTRY;
use crate::output::PRELUDE_CHUNK;

/// Steps between two looks at the CPU clock: a look is a system call. An interrupt is one step.
const STEPS_PER_LOOK: usize = 1024;

/// The engine's own text.
pub(crate) const EXHAUSTED: &str = "Script timeout: exhausted allowed execution time";

/// No deadline yet: it is set at the first look of a resumption.
const UNSET: u64 = u64::MAX;

/// See the module's header.
pub(crate) struct Guard {
    /// In nanoseconds; `None` for no limit.
    limit: Option<u64>,
    /// CPU time of this thread at which the resumption is over, in nanoseconds.
    deadline: AtomicU64,
    steps: AtomicUsize,
    expired: AtomicBool,
    /// Threads ended since the driver last resumed something.
    ended: AtomicU32,
}

impl Guard {
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        Self {
            limit: limit.map(|limit| u64::try_from(limit.as_nanos()).unwrap_or(UNSET - 1)),
            deadline: AtomicU64::new(UNSET),
            steps: AtomicUsize::new(0),
            expired: AtomicBool::new(false),
            ended: AtomicU32::new(0),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.limit.is_some()
    }

    /// The driver resumes something.
    pub(crate) fn renew(&self) {
        self.ended.store(0, Ordering::Relaxed);
        self.start();
    }

    /// A thread has ended with an error, which may be that of [`Guard::check`]: whoever resumed it goes on.
    pub(crate) fn thread_ended(&self) {
        if self.expired.load(Ordering::Relaxed) && self.ended.fetch_add(1, Ordering::Relaxed) + 1 < TIMEOUTS_PER_ENTRY {
            self.start();
        }
    }

    fn start(&self) {
        self.deadline.store(UNSET, Ordering::Relaxed);
        self.expired.store(false, Ordering::Relaxed);
    }

    /// What the VM calls again and again while a script runs.
    pub(crate) fn check(&self, lua: &Lua) -> Result<VmState> {
        if self.spend(1) { self.end(lua) } else { Ok(VmState::Continue) }
    }

    /// Counts work that is done for a script without interrupts. True if the script's time is over.
    pub(crate) fn spend(&self, steps: usize) -> bool {
        let before = self.steps.load(Ordering::Relaxed);
        let after = before.wrapping_add(steps);
        self.steps.store(after, Ordering::Relaxed);
        let looks = before / STEPS_PER_LOOK != after / STEPS_PER_LOOK;
        self.expired.load(Ordering::Relaxed) || (looks && self.is_over())
    }

    #[cold]
    fn is_over(&self) -> bool {
        let Some(limit) = self.limit else { return false };
        let (now, deadline) = (cpu_time(), self.deadline.load(Ordering::Relaxed));
        if deadline == UNSET {
            self.deadline.store(now.saturating_add(limit), Ordering::Relaxed);
        } else if now > deadline {
            self.expired.store(true, Ordering::Relaxed);
        }
        self.expired.load(Ordering::Relaxed)
    }

    /// Raises in the script; the prelude goes on, so that it can report what it has ended.
    #[cold]
    fn end(&self, lua: &Lua) -> Result<VmState> {
        let place = lua.inspect_stack(0, |frame| {
            let chunk = frame.source().short_src.unwrap_or_default().into_owned();
            (chunk, frame.current_line().unwrap_or(0))
        });
        match place {
            Some((chunk, _)) if chunk.starts_with(PRELUDE_CHUNK) => Ok(VmState::Continue),
            Some((chunk, line)) => Err(Error::runtime(format_args!("{chunk}:{line}: {EXHAUSTED}"))),
            None => Err(Error::runtime(EXHAUSTED)),
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("limit", &self.limit.map(Duration::from_nanos)).finish_non_exhaustive()
    }
}

/// CPU time that this thread has used, in nanoseconds.
fn cpu_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let duration = Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0));
    u64::try_from(duration.as_nanos()).unwrap_or(UNSET)
}
