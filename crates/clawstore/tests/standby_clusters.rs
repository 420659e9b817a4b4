//! A store on a primary with a standby, through its promotion: what the callers were told, and what the program is told.
//!
//! Each round has two servers of its own. `cargo xtask chaos` does many more.
#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use clawstore::{Clawstore, DataStore, Database, GameId};
use clawstore_testkit::postgres::{Pair, Replication};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(20);
const ROUNDS: usize = 1;

/// A store whose URL names both servers.
struct World {
    pair: Pair,
    store: Clawstore,
    runtime: Runtime,
}

impl World {
    fn new(replication: Replication) -> Self {
        let pair = Pair::start(replication).unwrap();
        let [primary, standby] = [pair.primary().port(), pair.standby().unwrap().port()];
        let url = format!("postgres://postgres@127.0.0.1:{primary},127.0.0.1:{standby}/postgres");
        let store = Clawstore::builder().database(Database::parse(&url).unwrap()).open().expect("opens");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { pair, store, runtime }
    }

    fn saves(&self) -> DataStore {
        self.store.game(GameId::Number(1)).unwrap().data_store("Saves").unwrap()
    }

    /// What is stored now, by whatever server; asked until one answers.
    fn stored(&self) -> u64 {
        self.runtime.block_on(async {
            loop {
                if let Ok(entry) = self.saves().get_uncached::<u64>("count").await {
                    return entry.map_or(0, |entry| entry.value);
                }
            }
        })
    }
}

/// Counts as fast as it goes.
struct Counter {
    acked: Arc<AtomicU64>,
    open_ended: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Counter {
    fn start(world: &World) -> Self {
        let (acked, open_ended, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default(), Arc::default());
        let (saves, told, unknown, stopped) =
            (world.saves(), Arc::clone(&acked), Arc::clone(&open_ended), Arc::clone(&stop));
        let task = world.runtime.spawn(async move {
            while !AtomicBool::load(&stopped, Ordering::Acquire) {
                match saves.update::<u64>("count", |old| Some(old.unwrap_or(0) + 1)).await {
                    Ok(_) => told.fetch_add(1, Ordering::AcqRel),
                    // Not told apart: it may have been applied.
                    Err(_) => unknown.fetch_add(1, Ordering::AcqRel),
                };
            }
        });
        let counter = Self { acked, open_ended, stop, task };
        counter.wait_for_more();
        counter
    }

    fn acked(&self) -> u64 {
        self.acked.load(Ordering::Acquire)
    }

    fn wait_for_more(&self) {
        let before = self.acked();
        while self.acked() < before + 5 {
            std::thread::yield_now();
        }
    }

    /// Acknowledged, and those of which nobody knows.
    fn end(self, world: &World) -> (u64, u64) {
        self.stop.store(true, Ordering::Release);
        world.runtime.block_on(self.task).unwrap();
        (self.acked.load(Ordering::Acquire), self.open_ended.load(Ordering::Acquire))
    }
}

#[test]
fn nothing_is_lost_with_a_synchronous_standby_and_nobody_says_so() {
    for _ in 0..ROUNDS {
        let mut world = World::new(Replication::Synchronous);
        assert!(world.store.durability().contains("the loss of one machine"), "{}", world.store.durability());
        let counter = Counter::start(&world);
        world.pair.primary_mut().kill().unwrap();
        drop(world.pair.promote().unwrap());
        world.pair.add_standby().unwrap();
        counter.wait_for_more();
        let (acked, unknown) = counter.end(&world);
        let stored = world.stored();
        assert!((acked..=acked + unknown).contains(&stored), "{stored} stored, {acked} acked, {unknown} unknown");
        assert_eq!(world.store.history_losses(), 0);
        world.store.shutdown(PATIENCE);
        assert_eq!(world.store.history_losses(), 0);
    }
}

#[test]
fn every_loss_of_an_asynchronous_standby_is_reported() {
    for _ in 0..ROUNDS {
        let mut world = World::new(Replication::Asynchronous);
        let counter = Counter::start(&world);
        world.pair.cut().unwrap();
        counter.wait_for_more();
        world.pair.primary_mut().kill().unwrap();
        drop(world.pair.promote().unwrap());
        while world.store.history_losses() == 0 {
            world.stored();
        }
        counter.wait_for_more();
        let (acked, unknown) = counter.end(&world);
        let stored = world.stored();
        assert!(stored < acked, "{stored} stored, {acked} acked, {unknown} unknown: this is what was reported");
        world.store.shutdown(PATIENCE);
        assert_eq!(world.store.history_losses(), 1);
    }
}

/// It was asked for an ordinary change of machines: the standby had everything. Nothing is said, asynchronous or not.
#[test]
fn a_clean_change_of_an_asynchronous_standby_is_no_loss() {
    let mut world = World::new(Replication::Asynchronous);
    let (acked, unknown) = Counter::start(&world).end(&world);
    // A stop waits until the standby has everything.
    world.pair.primary_mut().stop(clawstore_testkit::postgres::StopMode::Fast).unwrap();
    drop(world.pair.promote().unwrap());
    assert_eq!((world.stored(), unknown), (acked, 0));
    let (more, unknown) = Counter::start(&world).end(&world);
    assert_eq!((world.stored(), unknown), (acked + more, 0));
    world.store.shutdown(PATIENCE);
    assert_eq!(world.store.history_losses(), 0);
}
