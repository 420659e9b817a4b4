//! Reads of keys without an actor: shared flights, the 4 s cache, and never older than this server's own writes.

use std::sync::atomic::{AtomicBool, Ordering};

use clawstore_core::backend::{BackendFuture, Batch, CommitBatches, ReadEntries, RowOutcome};
use tokio::sync::watch;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn readers_of_a_cold_key_share_one_read() {
    let world = World::new().await;
    world.gate.hold_reads();
    let readers: Vec<_> = (0..50)
        .map(|_| {
            let game = Arc::clone(&world.game);
            world.game.runtime.spawn(async move { game.call(&key_of("cold"), Request::Get).await })
        })
        .collect();
    let mut started = world.gate.reads_started();
    soon(started.wait_for(|&n| n >= 1)).await.unwrap();
    // All fifty have asked once the slot counts them.
    let slot = world.game.directory.existing(&key_of("cold")).unwrap();
    soon(async {
        while slot.open.load(Ordering::Acquire) < 50 {
            tokio::task::yield_now().await
        }
    })
    .await;
    world.gate.release_reads();
    for reader in readers {
        assert_eq!(number(soon(reader).await.unwrap()), None);
    }
    assert_eq!(world.gate.keys_read(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_value_is_served_again_for_four_seconds() {
    let world = World::new().await;
    for _ in 0..5 {
        assert_eq!(number(world.call("k", Request::Get).await), None);
    }
    assert_eq!(world.gate.keys_read(), 1, "misses are cached too");
    world.clock.advance(Duration::from_millis(3_999));
    world.call("k", Request::Get).await.unwrap();
    assert_eq!(world.gate.keys_read(), 1);
    world.clock.advance(Duration::from_millis(1));
    world.call("k", Request::Get).await.unwrap();
    assert_eq!(world.gate.keys_read(), 2);
}

/// Its first read has read, and then waits until it is released; all others pass.
#[derive(Debug)]
struct FirstReadIsSlow {
    memory: Arc<MemoryBackend>,
    is_first: AtomicBool,
    /// The first read has seen the entries and waits.
    entered: watch::Sender<bool>,
    released: watch::Sender<bool>,
}

impl ReadEntries for FirstReadIsSlow {
    fn read_entries(&self, keys: Vec<EntryKey>) -> BackendFuture<'_, Vec<Entry>> {
        Box::pin(async move {
            let entries = self.memory.read_entries(keys).await;
            if self.is_first.swap(false, Ordering::SeqCst) {
                self.entered.send_replace(true);
                self.released.subscribe().wait_for(|released| *released).await.unwrap();
            }
            entries
        })
    }
}

impl CommitBatches for FirstReadIsSlow {
    fn commit_batch(&self, batch: Arc<Batch>) -> BackendFuture<'_, Vec<RowOutcome>> {
        self.memory.commit_batch(batch)
    }
}

clawstore_testkit::delegate! { ScanEntries, ExpireHistory, ManageGames for FirstReadIsSlow, via memory }

impl Backend for FirstReadIsSlow {}

#[tokio::test(flavor = "multi_thread")]
async fn a_flight_from_before_a_write_leaves_nothing_behind() {
    let memory = Arc::new(MemoryBackend::new());
    let is_first = AtomicBool::new(true);
    let (entered, released) = (watch::Sender::new(false), watch::Sender::new(false));
    let slow = Arc::new(FirstReadIsSlow { memory: Arc::clone(&memory), is_first, entered, released });
    let world = World::over(memory, Arc::clone(&slow) as _, Config::default()).await;
    let early = {
        let game = Arc::clone(&world.game);
        world.game.runtime.spawn(async move { game.call(&key_of("k"), Request::Get).await })
    };
    soon(slow.entered.subscribe().wait_for(|entered| *entered)).await.unwrap();
    assert_eq!(number(soon(world.call("k", set(7))).await), Some(7));
    // Nobody waits for the flight any more, so the actor may leave; then it lands, with an entry from before the write.
    world.clock.advance(Duration::from_secs(31));
    assert!(soon(early).await.unwrap().is_err(), "past its deadline");
    let slot = world.game.directory.existing(&key_of("k")).unwrap();
    soon(async {
        while world.game.stats().active_keys > 0 {
            world.game.passivate(&slot);
            tokio::task::yield_now().await;
        }
    })
    .await;
    slow.released.send_replace(true);
    soon(async {
        while !slot.lock().flights.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(number(soon(world.call("k", Request::Get)).await), Some(7), "the cache went back");
}
