//! A game that saves as fast as it is answered.
//!
//! Owns: callers on a thread of their own, as Rust tasks or as the coroutines of one script. Every call must succeed. Does not
//! own: what it does to others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use clawstore::mlua::Value;
use clawstore::{DataStore, Game};
use tokio::task::JoinSet;

use crate::vm::{LocalResult, Vm};

const KEYS: u64 = 20_000;
/// How long a script waits before it looks whether it is to stop.
const PATIENCE: Duration = Duration::from_millis(100);
/// Nothing of it may be unanswered for longer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(31);

/// Who floods.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// Tasks of a host.
    Callers,
    /// Coroutines of one script, with so many bytes in each save.
    Script {
        /// Beside a number.
        padding: usize,
    },
}

/// Whether it goes on, and how far it has come.
#[derive(Debug, Clone, Default)]
struct Progress {
    stopped: Arc<AtomicBool>,
    sets: Arc<AtomicU64>,
}

/// One that runs.
pub(super) struct Flood {
    progress: Progress,
    begun: Instant,
    thread: thread::JoinHandle<Result<()>>,
}

impl Flood {
    pub(super) fn begin(source: Source, game: &Game, callers: u64) -> Result<Self> {
        let progress = Progress::default();
        let (game, running) = (game.clone(), progress.clone());
        let body = move || match source {
            Source::Callers => call(&game.data_store("Flood")?, callers, &running),
            // Errors of a VM stay on its thread.
            Source::Script { padding } => script(&game, callers, padding, &running).map_err(|error| anyhow!("{error}")),
        };
        let thread = thread::Builder::new().name("flood".into()).spawn(body)?;
        Ok(Self { progress, begun: Instant::now(), thread })
    }

    /// Sets a second.
    pub(super) fn end(self) -> Result<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a few millions")]
        let rate = self.progress.sets.load(Ordering::Relaxed) as f64 / self.begun.elapsed().as_secs_f64();
        self.progress.stopped.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the flood has panicked"))??;
        Ok(rate)
    }

    /// The same, when it has run for so long.
    pub(super) fn end_after(self, turn: Duration) -> Result<f64> {
        thread::sleep(turn);
        self.end()
    }
}

fn call(store: &DataStore, callers: u64, progress: &Progress) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for _ in 0..callers {
            let (store, progress) = (store.clone(), progress.clone());
            tasks.spawn(async move {
                while !progress.stopped.load(Ordering::Relaxed) {
                    let number = progress.sets.fetch_add(1, Ordering::Relaxed);
                    store.set(&format!("key_{}", number % KEYS), &number).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(())
    })
}

/// Ends with an error if any call does.
fn script(game: &Game, coroutines: u64, padding: usize, progress: &Progress) -> LocalResult<()> {
    let mut vm = Vm::open(game)?;
    let flood = vm.runtime.lua().create_table()?;
    flood.raw_set("coroutines", coroutines)?;
    flood.raw_set("keys", KEYS)?;
    flood.raw_set("padding", padding)?;
    vm.runtime.add_service("Flood", Value::Table(flood.clone()))?;
    vm.runtime.run_script("flood", include_str!("flood.luau"))?;
    while !progress.stopped.load(Ordering::Relaxed) {
        progress.sets.fetch_add(vm.turn(PATIENCE)? as u64, Ordering::Relaxed);
    }
    flood.raw_set("stopped", true)?;
    let until = Instant::now() + ANSWERED_WITHIN;
    while vm.bindings.open_calls() > 0 {
        if Instant::now() > until {
            return Err(format!("{} calls are not answered", vm.bindings.open_calls()).into());
        }
        vm.turn(PATIENCE)?;
    }
    Ok(())
}
