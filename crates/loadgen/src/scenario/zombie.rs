//! A process is frozen, and wakes up when others have its keys.
//!
//! Owns: two processes on the same keys, the freeze of one in the middle of its load. Does not own: the check that nothing
//! that either was answered is lost, overwritten or applied twice (`fleet`).

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::ScenarioOptions;
use super::fleet::Fleet;
use crate::chaos::calls::{IN_FLIGHT_MIN, WARM};

const FROZEN: Duration = Duration::from_secs(10);
/// The load of both before and after.
const BESIDE: Duration = Duration::from_secs(3);
/// A frozen process's keys are had within this time, so the other is answered again.
const TAKEN_WITHIN: Duration = Duration::from_secs(7);

pub(super) fn run(options: &ScenarioOptions) -> Result<()> {
    let frozen = options.seconds.map_or(FROZEN, Duration::from_secs);
    let fleet = Fleet::start(options.seed, 2)?;
    fleet.let_run(BESIDE)?;
    let [zombie, other] = &fleet.victims[..] else { unreachable!("two were started") };
    let in_flight = zombie.in_flight();
    zombie.freeze()?;
    let start = Instant::now();
    // Until the frozen one is declared dead every caller of the other comes to wait for one of its keys.
    other.wait_for_answers(WARM, TAKEN_WITHIN).context("answers of the other process")?;
    let first = start.elapsed();
    other.let_run(frozen.saturating_sub(start.elapsed()))?;
    zombie.thaw()?;
    println!("frozen for {frozen:?} with {in_flight} calls in flight; {WARM} answers of the other after {first:.1?}");
    ensure!(in_flight >= IN_FLIGHT_MIN, "too few calls in flight");
    zombie.wait_for_answers(WARM, Duration::from_secs(30)).context("answers of the woken process")?;
    fleet.let_run(BESIDE)?;
    fleet.judge().map(drop)
}
