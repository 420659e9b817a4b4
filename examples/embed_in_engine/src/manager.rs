//! All instances of a process.
//!
//! Owns: one store for the process, one game per game id, one server per instance; ticking instances in parallel;
//! destroying empty ones; an orderly end. Does not own: what happens in an instance.

use std::sync::Arc;
use std::time::Duration;

use clawstore::clock::Clock;
use clawstore::{Clawstore, CloseReason, Config, Database, DrainReport, Game, GameId, SystemClock};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::instance::Instance;

/// An instance without players is destroyed after this many ticks: one second.
const EMPTY_TICKS: u32 = 60;
/// How long scripts get to finish saving at the end, before their VMs are dropped.
const LAST_SAVES: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Slot {
    id: u64,
    instance: Instance,
    empty_ticks: u32,
}

/// Runs game instances.
#[derive(Debug)]
pub struct GameManager {
    store: Clawstore,
    pool: ThreadPool,
    slots: Vec<Slot>,
    last_id: u64,
    clock: Arc<dyn Clock>,
}

impl GameManager {
    /// Opens the store of this process.
    pub fn open(database: Database, threads: usize) -> anyhow::Result<Self> {
        let store = Clawstore::builder().config(Config::load()?).database(database).open()?;
        Self::with_store(store, threads)
    }

    /// Takes a store that is open.
    pub fn with_store(store: Clawstore, threads: usize) -> anyhow::Result<Self> {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build()?;
        Ok(Self { store, pool, slots: Vec::new(), last_id: 0, clock: Arc::new(SystemClock::start()) })
    }

    /// The game of this id, for web handlers. The same one as its instances use.
    pub fn game(&self, id: GameId) -> anyhow::Result<Game> {
        Ok(self.store.game(id)?)
    }

    /// Starts an instance of a game. Returns its id.
    pub fn start(&mut self, game: GameId, script: &str) -> anyhow::Result<u64> {
        let instance = Instance::start(&self.game(game)?, script)?;
        self.last_id += 1;
        self.slots.push(Slot { id: self.last_id, instance, empty_ticks: 0 });
        Ok(self.last_id)
    }

    /// The instance of this id, if it still runs.
    pub fn instance(&mut self, id: u64) -> Option<&mut Instance> {
        self.slots.iter_mut().find(|slot| slot.id == id).map(|slot| &mut slot.instance)
    }

    /// Instances that run.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.slots.iter().map(|slot| &slot.instance)
    }

    /// One tick of every instance, in parallel: the same VM runs on another thread each time. Returns the ids of instances
    /// that were destroyed because they are empty.
    pub fn tick(&mut self) -> Vec<u64> {
        let slots = &mut self.slots;
        self.pool.install(|| slots.par_iter_mut().for_each(|slot| slot.instance.tick()));
        for slot in &mut self.slots {
            slot.empty_ticks = if slot.instance.players().is_empty() { slot.empty_ticks + 1 } else { 0 };
        }
        self.slots.extract_if(.., |slot| slot.empty_ticks > EMPTY_TICKS).map(end_of_empty).collect()
    }

    /// Ends an instance at once, whatever it waits for.
    pub fn destroy(&mut self, id: u64, reason: CloseReason) {
        for slot in self.slots.extract_if(.., |slot| slot.id == id) {
            slot.instance.destroy(reason);
        }
    }

    /// Everyone leaves, scripts save, VMs go, and what was accepted is saved: at most `patience`. The report counts how the
    /// calls have ended that were open when the store closed.
    pub fn shut_down(mut self, patience: Duration) -> DrainReport {
        let begun = self.clock.now();
        for slot in &mut self.slots {
            for user_id in slot.instance.players().clone() {
                if let Err(error) = slot.instance.leave(user_id) {
                    eprintln!("player {user_id} could not leave: {error}");
                }
            }
        }
        let limit = LAST_SAVES.min(patience / 2);
        while self.open_calls() > 0 && self.clock.now().since(begun) < limit {
            self.pool.install(|| self.slots.par_iter_mut().for_each(|slot| slot.instance.tick()));
            std::thread::park_timeout(Duration::from_millis(1));
        }
        for slot in self.slots.drain(..) {
            slot.instance.destroy(CloseReason::DeveloperShutdown);
        }
        self.store.shutdown(patience.saturating_sub(self.clock.now().since(begun)))
    }

    fn open_calls(&self) -> usize {
        self.instances().map(|instance| instance.bindings().open_calls()).sum()
    }
}

fn end_of_empty(slot: Slot) -> u64 {
    // Its last saves may still be open. They do not need it.
    slot.instance.destroy(CloseReason::ServerEmpty);
    slot.id
}
