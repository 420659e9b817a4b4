//! Processes come and are killed; the others go on.
//!
//! Owns: three processes on the same keys, the kill -9 of one of them again and again in the middle of hand-overs, and a
//! new one for each. Does not own: the check that nothing that any of them was answered is lost or applied twice (`fleet`).

use std::time::Duration;

use anyhow::{Result, ensure};

use super::ScenarioOptions;
use super::fleet::Fleet;
use crate::chaos::calls::IN_FLIGHT_MIN;
use crate::random::Random;

const SIZE: u64 = 3;
const KILLS: u64 = 10;
/// Between a new process's first answers and the next kill, at most: some kills come before the last one's keys are had.
const BESIDE_MAX: Duration = Duration::from_secs(4);

pub(super) fn run(options: &ScenarioOptions) -> Result<()> {
    let (kills, mut random) = (options.count.unwrap_or(KILLS), Random::new(options.seed, 2));
    let beside = options.seconds.map_or(BESIDE_MAX, Duration::from_secs);
    let mut fleet = Fleet::start(options.seed, usize::try_from(SIZE)?)?;
    let mut least = usize::MAX;
    for _ in 0..kills {
        fleet.let_run(Duration::from_micros(random.below(u64::try_from(beside.as_micros())?)))?;
        least = fleet.kill(usize::try_from(random.below(SIZE))?)?.min(least);
        fleet.join()?;
    }
    println!("{kills} kills, at least {least} calls in flight");
    ensure!(least >= IN_FLIGHT_MIN, "too few calls in flight");
    fleet.judge().map(drop)
}
