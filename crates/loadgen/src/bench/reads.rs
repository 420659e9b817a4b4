//! Cached reads.
//!
//! Owns: `GetAsync` of an active key beside decoding the same text. Does not own: reads from the database.

use std::path::Path;
use std::time::{Duration, Instant};

use clawstore::{Database, decode};

use super::report::Figure;
use super::script::Script;
use super::writes::{Stage, owner};
use super::{Bench, SAVE, at_most};
use crate::vm::LocalResult;

const GET: &str = "get_cached";
const GET_IN_SCRIPT: &str = "get_cached_vs_script_call";
const KEY: &str = "player_1";
/// Between two looks at the clock.
const BATCH: u32 = 5_000;

pub(super) fn run(bench: &mut Bench<'_>, dir: &Path) -> LocalResult<()> {
    if !bench.wants(GET) && !bench.wants(GET_IN_SCRIPT) {
        return Ok(());
    }
    let stage = Stage::open(Database::directory(dir.join("reads")), owner())?;
    stage.runtime.block_on(async {
        let save: serde_json::Value = serde_json::from_str(SAVE)?;
        stage.game.data_store("Owned")?.set(KEY, &save).await?;
        LocalResult::Ok(())
    })?;
    let script = Script::open(&stage.game, SAVE)?;
    let lua = script.vm.runtime.lua();
    let get = |turn| time_per_op(turn, || script.call("reads", (KEY, BATCH)));
    let decode_alone = |turn| {
        time_per_op(turn, || {
            for _ in 0..BATCH {
                decode(lua, SAVE.as_bytes())?;
            }
            Ok(())
        })
    };
    let decode_in_script = |turn| time_per_op(turn, || script.call("decodes", BATCH));
    if bench.wants(GET) {
        let times = bench.plan.alternate(get, decode_alone)?;
        bench.add(Figure::beside(GET, times, "ns", at_most(1.3)));
    }
    if bench.wants(GET_IN_SCRIPT) {
        let times = bench.plan.alternate(get, decode_in_script)?;
        bench.add(Figure::beside(GET_IN_SCRIPT, times, "ns", None));
    }
    Ok(())
}

/// Nanoseconds for one of the [`BATCH`] that `batch` does.
fn time_per_op(turn: Duration, batch: impl Fn() -> LocalResult<()>) -> LocalResult<f64> {
    let (start, mut batches) = (Instant::now(), 0.0);
    loop {
        batch()?;
        batches += 1.0;
        let spent = start.elapsed();
        if spent >= turn {
            return Ok(spent.as_secs_f64() * 1e9 / (batches * f64::from(BATCH)));
        }
    }
}
