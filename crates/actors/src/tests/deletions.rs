//! Deletions on a store that is slow, fails, or is used by others meanwhile.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use clawstore_core::CallError;
use clawstore_core::backend::{
    BackendError, BackendErrorKind, BackendFuture, Batch, CommitBatches, Deletion, ExpireHistory, HoldLeases,
    ManageGames, ReadEntries, Restoration, RowOutcome, Snapshot, Sweep,
};
use clawstore_core::clock::Timestamp;
use clawstore_core::entry::VersionId;
use clawstore_core::limits::SWEEP_ROWS;
use clawstore_core::versioning::{Retention, Versioning};
use clawstore_testkit::conformance::InspectVersions;
use tokio::sync::Semaphore;

use super::ownership::pair;
use super::*;
use crate::life_cycle::{LifeCycleError, Purge};
use crate::sweeper::StepSize;

const ID: GameId = GameId::Number(1);

/// A store whose deletions go as the test says.
#[derive(Debug)]
struct Faulty {
    memory: MemoryBackend,
    /// Steps of more rows take too long.
    most_rows: usize,
    /// Rows of each step that was asked for.
    steps: Mutex<Vec<usize>>,
    /// The next deletions of one version fail so.
    removals: Mutex<VecDeque<BackendErrorKind>>,
    /// Somebody else restores the game before the next step.
    is_restored: AtomicBool,
    /// Deletions of games that have come, and those that may go on.
    marking: Semaphore,
    may_mark: Semaphore,
}

impl Faulty {
    fn new(memory: MemoryBackend) -> Arc<Self> {
        Arc::new(Self {
            memory,
            most_rows: usize::MAX,
            steps: Mutex::default(),
            removals: Mutex::default(),
            is_restored: AtomicBool::new(false),
            marking: Semaphore::new(0),
            may_mark: Semaphore::new(Semaphore::MAX_PERMITS),
        })
    }

    /// Where steps of more rows fail.
    fn slow(memory: MemoryBackend, most_rows: usize) -> Arc<Self> {
        let mut faulty = Self::new(memory);
        Arc::get_mut(&mut faulty).unwrap().most_rows = most_rows;
        faulty
    }

    async fn world(self: &Arc<Self>, config: Config) -> World {
        World::over(Arc::new(self.memory.clone()), Arc::clone(self) as Arc<dyn Backend>, config).await
    }

    fn step(&self, rows: usize) -> Result<(), BackendError> {
        self.steps.lock().unwrap().push(rows);
        let late = || BackendError::new(BackendErrorKind::Unavailable, "it takes too long");
        if rows > self.most_rows { Err(late()) } else { Ok(()) }
    }

    fn steps(&self) -> Vec<usize> {
        std::mem::take(&mut self.steps.lock().unwrap())
    }
}

clawstore_testkit::delegate! { ScanEntries for Faulty, via memory }

impl ReadEntries for Faulty {
    fn read_entries(&self, keys: Vec<EntryKey>) -> BackendFuture<'_, Vec<Entry>> {
        self.memory.read_entries(keys)
    }
}

impl CommitBatches for Faulty {
    fn lanes(&self) -> u16 {
        self.memory.lanes()
    }

    fn commit_batch(&self, batch: Arc<Batch>) -> BackendFuture<'_, Vec<RowOutcome>> {
        self.memory.commit_batch(batch)
    }
}

impl ExpireHistory for Faulty {
    fn expire(&self, sweep: Arc<Sweep>) -> BackendFuture<'_, usize> {
        Box::pin(async move {
            self.step(sweep.rows)?;
            self.memory.expire(sweep).await
        })
    }

    fn remove_version(&self, key: EntryKey, id: VersionId) -> BackendFuture<'_, ()> {
        Box::pin(async move {
            let fault = self.removals.lock().unwrap().pop_front();
            match fault {
                Some(kind) => Err(BackendError::new(kind, "planned failure")),
                None => self.memory.remove_version(key, id).await,
            }
        })
    }
}

impl ManageGames for Faulty {
    fn take_snapshot(&self, game: GameId, at: Timestamp, is_simulated: bool) -> BackendFuture<'_, Snapshot> {
        self.memory.take_snapshot(game, at, is_simulated)
    }

    fn deleted_games(&self) -> BackendFuture<'_, Vec<(GameId, Timestamp)>> {
        self.memory.deleted_games()
    }

    fn delete_game(&self, game: GameId, at: Timestamp) -> BackendFuture<'_, Deletion> {
        Box::pin(async move {
            self.marking.add_permits(1);
            self.may_mark.acquire().await.unwrap().forget();
            self.memory.delete_game(game, at).await
        })
    }

    fn restore_game(&self, game: GameId) -> BackendFuture<'_, Restoration> {
        self.memory.restore_game(game)
    }

    fn purge_game(&self, game: GameId, rows: usize) -> BackendFuture<'_, usize> {
        Box::pin(async move {
            self.step(rows)?;
            let step = self.memory.purge_game(game, rows).await;
            if self.is_restored.load(Ordering::Acquire) {
                self.memory.restore_game(game).await?;
            }
            step
        })
    }
}

impl Backend for Faulty {
    fn leases(&self) -> Option<&dyn HoldLeases> {
        self.memory.leases()
    }
}

/// So many tombstones of the first of all days, of keys that nobody uses.
fn tombstones(memory: &MemoryBackend, count: usize) {
    for n in 0..count {
        memory.overwrite(&key_of(&format!("k{n}")), Entry { revision: 1, ..Entry::default() });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_that_take_too_long_become_smaller_and_slowly_larger() {
    let faulty = Faulty::slow(MemoryBackend::shared(), 300);
    let world = faulty.world(Config::default()).await;
    tombstones(&world.memory, 900);
    let mut size = StepSize::default();
    assert_eq!(world.process.sweep_history(&mut size).await, Ok(900));
    assert_eq!(faulty.steps(), [1_000, 500, 250, 282, 318, 159, 179, 202], "the last one finds fewer");
    assert_eq!(world.process.sweep_history(&mut size).await, Ok(0));
    assert_eq!(faulty.steps(), [228], "the next sweep goes on with it");

    tombstones(&world.memory, 900);
    world.memory.delete_game(ID, Timestamp::default()).await.unwrap();
    assert_eq!(world.process.purge_game(ID, Purge::Now).await, Ok(900));
    assert_eq!(faulty.steps(), [1_000, 500, 250, 282, 318, 159, 179, 202]);
    // Of a store that cannot delete a single row it is said.
    let faulty = Faulty::slow(MemoryBackend::shared(), 0);
    let world = faulty.world(Config::default()).await;
    let error = world.process.sweep_history(&mut StepSize::default()).await.expect_err("it fails");
    assert_eq!((error.kind, faulty.steps().last()), (BackendErrorKind::Unavailable, Some(&1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_that_meets_a_restoration_says_so() {
    let faulty = Faulty::new(MemoryBackend::shared());
    let world = faulty.world(Config::default()).await;
    tombstones(&world.memory, SWEEP_ROWS + 1);
    let deletion = world.process.delete_game(ID).await;
    deletion.unwrap();
    faulty.is_restored.store(true, Ordering::Release);
    let purged = world.process.purge_game(ID, Purge::Now).await;
    assert_eq!(purged, Err(LifeCycleError::BrokenOff { game: ID, rows: 1_000 }));
    assert_eq!(world.process.purge_game(ID, Purge::Now).await, Err(LifeCycleError::NotDeleted(ID)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_game_that_is_opened_while_it_is_deleted_refuses_its_first_call() {
    let faulty = Faulty::new(MemoryBackend::new());
    let world = faulty.world(Config::default()).await;
    let other = GameId::Number(2);
    let store = Arc::new(StoreId::new(other, StoreKind::Standard, b"Store", b"global").unwrap());
    let key = EntryKey::new(&store, b"k").unwrap();
    for is_there in [false, true] {
        if is_there {
            world.memory.overwrite(&key, Entry { revision: 1, ..Entry::default() });
        }
        faulty.may_mark.forget_permits(usize::MAX);
        let process = Arc::clone(&world.process);
        let deletion = Handle::current().spawn(async move { process.delete_game(other).await });
        soon(faulty.marking.acquire()).await.unwrap().forget();
        let game = world.process.game(other).unwrap();
        let refused = soon(game.call(&key, set(1))).await.expect_err("it is being deleted");
        assert!(refused.text.contains("DatastoreDeleted"), "{refused}");
        faulty.may_mark.add_permits(1);
        let deleted = soon(deletion).await.unwrap();
        assert_eq!((deleted.is_ok(), game.is_deleted()), (is_there, is_there));
        if !is_there {
            assert_eq!(deleted, Err(LifeCycleError::NoData(other)));
            assert_eq!(game.read_at_hand(&key, true), None);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_for_a_lease_of_a_deleted_game_hear_of_it() {
    let (memory, a, b) = pair().await;
    soon(a.call("k", set(1))).await.unwrap();
    a.process.drain(SOON).await;
    // As a third process would: `b` is not told.
    assert_eq!(memory.delete_game(ID, Timestamp::from_ticks(1)).await, Ok(Deletion::Done));
    let waiting: Vec<_> = ["k", "l"].map(|key| Box::pin(b.call(key, increment(1)))).into_iter().collect();
    for call in waiting {
        let refused = soon(call).await.expect_err("nobody gets a lease");
        assert!(refused.text.contains("DatastoreDeleted"), "{refused}");
    }
    assert!(b.game.none_open_by(tokio::time::Instant::now() + SOON).await);
    memory.restore_game(ID).await.unwrap();
    soon(async {
        while b.call("k", Request::Get).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(number(soon(b.call("k", increment(1))).await), Some(2), "it comes back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_fails_half_way_is_of_unknown_outcome_and_counts_once() {
    let faulty = Faulty::new(MemoryBackend::new());
    let versioning = Versioning::all(Retention::EveryWrite);
    let world = faulty.world(Config { versioning, ..Config::default() }).await;
    let write = async |number| match world.call("k", set(number)).await {
        Ok(Reply::Entry(entry)) => entry.version(),
        other => panic!("no entry: {other:?}"),
    };
    let (first, second) = (write(1).await, write(2).await);
    let before = world.game.stats().ended;
    faulty.removals.lock().unwrap().push_back(BackendErrorKind::Unavailable);
    let failed = world.game.remove_version(&key_of("k"), second).await.expect_err("the second stage fails");
    assert!(failed.outcome == clawstore_core::Outcome::Unknown && failed.text.contains("planned failure"), "{failed}");
    assert_eq!(world.stored("k").value, None, "the first stage has erased it");
    let after = world.game.stats().ended;
    assert_eq!((after.acked - before.acked, after.failed, after.unknown), (0, 0, 1));
    for id in [second, first] {
        world.game.remove_version(&key_of("k"), id).await.unwrap();
    }
    let after = world.game.stats().ended;
    assert_eq!((after.acked - before.acked, after.failed, after.unknown), (2, 0, 1), "each once");
    assert!(world.memory.versions(&key_of("k")).is_empty());
    // What is refused before anything is done keeps its own class, and counts once too.
    world.game.close_admission();
    let refused: CallError = world.game.remove_version(&key_of("k"), first).await.expect_err("closing");
    assert_eq!((refused.outcome, world.game.stats().ended.failed), (clawstore_core::Outcome::Fail, 1));
}
