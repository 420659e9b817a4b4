//! The cost of parked calls in a polling host.
//!
//! Owns: a host without a scheduler, which resumes every parked coroutine each tick, while no commit is answered; beside
//! it the same for coroutines that yield and nothing else. Does not own: hosts with a scheduler.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clawstore::mlua::{Function, Lua, Thread};
use clawstore::{Clawstore, Database, GameId, ServerOptions};
use clawstore_testkit::{GatedBackend, MemoryBackend};

use super::report::Figure;
use super::{Bench, at_most};
use crate::unlimited;
use crate::vm::LocalResult;

const TICK: &str = "polling_tick_1000";
const PARKED: usize = 1_000;

const CALLER: &str = r#"
local service, number = ...
service:GetDataStore("Owned"):SetAsync("player_" .. number, { coins = number })
"#;
const YIELDER: &str = "while true do coroutine.yield() end";

pub(super) fn run(bench: &mut Bench<'_>) -> LocalResult<()> {
    if !bench.wants(TICK) {
        return Ok(());
    }
    let backend = Arc::new(GatedBackend::new(Arc::new(MemoryBackend::new())));
    backend.hold();
    let store =
        Clawstore::builder().config(unlimited()).database(Database::Custom(Arc::clone(&backend) as Arc<_>)).open()?;
    let game = store.game(GameId::Number(1))?;
    let lua = Lua::new();
    let bindings = game.server(ServerOptions::default()).bind(&lua)?;
    let service = bindings.service("DataStoreService").ok_or("the bindings have no DataStoreService")?;
    let mut callers = Vec::new();
    for number in 0..PARKED {
        let thread = lua.create_thread(lua.load(CALLER).into_function()?)?;
        thread.resume::<()>((service.clone(), number))?;
        callers.push(thread);
    }
    if bindings.open_calls() != PARKED {
        return Err(format!("{} calls are parked, not {PARKED}", bindings.open_calls()).into());
    }
    let yielder: Function = lua.load(YIELDER).into_function()?;
    let yielders = (0..PARKED).map(|_| lua.create_thread(yielder.clone())).collect::<Result<Vec<_>, _>>()?;
    let times = bench.plan.alternate(|turn| tick(&callers, turn), |turn| tick(&yielders, turn))?;
    bench.add(Figure::beside(TICK, times, "us", at_most(1.5)));
    backend.release();
    store.shutdown(Duration::from_secs(10));
    Ok(())
}

/// Microseconds of one tick.
fn tick(threads: &[Thread], turn: Duration) -> LocalResult<f64> {
    let (start, mut ticks) = (Instant::now(), 0.0);
    loop {
        for thread in threads {
            thread.resume::<()>(())?;
        }
        ticks += 1.0;
        let spent = start.elapsed();
        if spent >= turn {
            return Ok(spent.as_secs_f64() * 1e6 / ticks);
        }
    }
}
