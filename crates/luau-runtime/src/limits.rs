//! The numbers that bound the scheduler. Owns constants only.

use std::time::Duration;

/// Rounds of `task.defer` inside `task.defer` that one step runs; what is deferred beyond that waits for the next
/// step, so that two functions deferring each other cannot hold a tick for ever.
pub(crate) const DEFER_ROUNDS_PER_STEP: usize = 80;

/// Withdrawn timers may outnumber the living ones by this many before the heap is rebuilt. Small enough that a
/// debounce loop (delay, cancel, delay, …) stays cheap in memory, large enough that rebuilding is rare.
pub(crate) const STALE_TIMERS_KEPT: usize = 256;

/// Seconds after which a `WaitForChild` without a time limit warns (Roblox: five).
pub(crate) const INFINITE_YIELD_WARNING_SECONDS: f64 = 5.0;

/// Shortest pause of the legacy `wait` (Roblox: two frames at 60 Hz).
pub(crate) const LEGACY_WAIT_SECONDS: f64 = 1.0 / 30.0;

/// CPU time that a script may use before it yields (Roblox: ten seconds).
pub(crate) const SCRIPT_TIMEOUT: Duration = Duration::from_secs(10);

/// Threads that may be ended for their CPU time before the driver gets its turn again; then whatever still runs is ended.
pub(crate) const TIMEOUTS_PER_ENTRY: u32 = 8;

/// Frames of a traceback that are shown from its top, and as many from its bottom: an endless recursion has thousands.
pub(crate) const TRACEBACK_END_FRAMES: usize = 10;

/// The default of `Players.MaxPlayers`.
pub(crate) const DEFAULT_MAX_PLAYERS: u32 = 50;

const _: () = assert!(LEGACY_WAIT_SECONDS < INFINITE_YIELD_WARNING_SECONDS);
const _: () = assert!(DEFER_ROUNDS_PER_STEP > 0);
