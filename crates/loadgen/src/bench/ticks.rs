//! The tick never waits: what a game's tick costs while every commit takes five seconds.
//!
//! Owns: a game of 100 players who each save once a second, at 60 ticks a second, on a store that answers at once and on
//! one that holds every commit; the 99th percentile of a tick (all Luau plus resumes). Does not own: the scheduler.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clawstore::{Clawstore, Database, GameId};
use clawstore_testkit::{GatedBackend, MemoryBackend};

use super::report::Figure;
use super::{Bench, at_most};
use crate::unlimited;
use crate::vm::{LocalResult, Vm};

const TICK: &str = "tick_p99_while_commits_take_5_s";
const DT: f64 = 1.0 / 60.0;
const PACE: Duration = Duration::from_micros(16_667);
/// Ticks that are not counted: every player's first save creates what later ones reuse.
const WARM_UP: usize = 60;
/// Ticks of a turn, whatever the other figures' turns are: enough for a percentile, and for two slow commits.
const TURN: Duration = Duration::from_secs(11);

const PLAYERS: &str = r#"
local store = game:GetService("DataStoreService"):GetDataStore("Players")
for number = 1, 100 do
    task.spawn(function()
        local save = { coins = 0, level = number, items = { "sword", "shield" } }
        task.wait(number / 100)
        while true do
            save.coins += 1
            task.spawn(function() store:SetAsync("player_" .. number, save) end)
            task.wait(1)
        end
    end)
end
"#;

pub(super) fn run(bench: &mut Bench<'_>) -> LocalResult<()> {
    if !bench.wants(TICK) {
        return Ok(());
    }
    let slow = |_| p99(Duration::from_secs(5));
    let fast = |_| p99(Duration::ZERO);
    let times = bench.plan.alternate(slow, fast)?;
    bench.add(Figure::beside(TICK, times, "us", at_most(1.5)));
    Ok(())
}

/// Microseconds of a tick that one in a hundred exceeds, while each commit takes so long.
fn p99(commit: Duration) -> LocalResult<f64> {
    let backend = Arc::new(GatedBackend::new(Arc::new(MemoryBackend::new())));
    backend.hold_commits(commit);
    let store =
        Clawstore::builder().config(unlimited()).database(Database::Custom(Arc::clone(&backend) as Arc<_>)).open()?;
    let game = store.game(GameId::Number(1))?;
    let mut vm = Vm::open(&game)?;
    vm.runtime.run_script("players", PLAYERS)?;
    let (start, mut ticks) = (Instant::now(), Vec::new());
    while start.elapsed() < TURN {
        let begun = Instant::now();
        vm.runtime.step(DT);
        ticks.push(begun.elapsed());
        thread::sleep(PACE.saturating_sub(begun.elapsed()));
    }
    drop(vm);
    backend.heal();
    store.shutdown(Duration::from_secs(10));
    super::p99_us(ticks.split_off(WARM_UP.min(ticks.len())))
}
