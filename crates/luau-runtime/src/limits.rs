//! The numbers that bound the scheduler. Owns constants only.

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

/// The default of `Players.MaxPlayers`.
pub(crate) const DEFAULT_MAX_PLAYERS: u32 = 50;

const _: () = assert!(LEGACY_WAIT_SECONDS < INFINITE_YIELD_WARNING_SECONDS);
const _: () = assert!(DEFER_ROUNDS_PER_STEP > 0);
