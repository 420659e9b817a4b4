//! A manager that is ticked as fast as answers arrive.
//!
//! Owns: waking the test when a VM has something to do, and a few globals for scripts: `tick()`, `done(n)`. Does not own
//! any expectation.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use clawstore::{Clawstore, Database, Game, GameId};
use embed_in_engine::{GameManager, Instance};

pub(crate) const GAME: GameId = GameId::Number(1);
pub(crate) const THREADS: usize = 4;

/// Nothing takes this long: a test that waits so long has failed.
const PATIENCE_TICKS: u64 = 60_000;
/// The longest pause between two ticks. A wake-up ends it, so only a lost one would show.
const TICK: Duration = Duration::from_millis(16);

/// Counts shared with scripts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    ticks: Arc<AtomicU64>,
    done: Arc<AtomicUsize>,
}

impl Counts {
    pub(crate) fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }
}

pub(crate) struct Host {
    pub(crate) manager: GameManager,
    pub(crate) counts: Counts,
}

impl Host {
    pub(crate) fn new(database: Database) -> Self {
        Self::with_store(Clawstore::builder().database(database).open().unwrap())
    }

    pub(crate) fn with_store(store: Clawstore) -> Self {
        Self { manager: GameManager::with_store(store, THREADS).unwrap(), counts: Counts::default() }
    }

    pub(crate) fn game(&self) -> Game {
        self.manager.game(GAME).unwrap()
    }

    /// Starts an instance with a player, who keeps it from being destroyed as empty.
    pub(crate) fn start(&mut self, script: &str) -> u64 {
        let id = self.manager.start(GAME, "").unwrap();
        let instance = self.manager.instance(id).unwrap();
        prepare(instance, &self.counts);
        instance.join(1, "Ada").unwrap();
        instance.lua().load(format!("task.spawn(function() {script} end)")).set_name("=test").exec().unwrap();
        id
    }

    pub(crate) fn tick(&mut self) {
        self.counts.ticks.fetch_add(1, Ordering::Relaxed);
        assert_eq!(self.manager.tick(), Vec::<u64>::new());
    }

    /// Ticks until `done()` has been called so often.
    #[track_caller]
    pub(crate) fn run_until_done(&mut self, times: usize) {
        for _ in 0..PATIENCE_TICKS {
            self.tick();
            if self.counts.done() >= times {
                assert_eq!(self.counts.done(), times);
                return;
            }
            std::thread::park_timeout(TICK);
        }
        panic!("{} of {times} are done", self.counts.done());
    }

    pub(crate) fn drain(self) -> clawstore::DrainReport {
        self.manager.shut_down(Duration::from_secs(38))
    }
}

fn prepare(instance: &Instance, counts: &Counts) {
    let (lua, globals) = (instance.lua(), instance.lua().globals());
    let ticks = Arc::clone(&counts.ticks);
    globals.set("tick", lua.create_function(move |_, ()| Ok(ticks.load(Ordering::Relaxed))).unwrap()).unwrap();
    let done = Arc::clone(&counts.done);
    let count = move |_: &clawstore::mlua::Lua, ()| {
        done.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    globals.set("done", lua.create_function(count).unwrap()).unwrap();
    let service = instance.bindings().service("DataStoreService").unwrap();
    globals.set("service", service).unwrap();
    let thread = std::thread::current();
    instance.bindings().set_wake(move || thread.unpark());
}

pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
