//! A game with one store of so many keys, one ordered store of as many, and many small ones.
//!
//! Owns: filling it through the library, keys in no order that helps; names and times of what is in it. Does not own: where it
//! is stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clawstore::SystemClock;
use clawstore_actors::{Config, Game, Process};
use clawstore_core::backend::Backend;
use clawstore_core::clock::Timestamp;
use clawstore_core::entry::Attributes;
use clawstore_core::limits::Limits;
use clawstore_core::ops::{CallResult, Reply, Request, Set};
use clawstore_core::versioning::{Retention, Versioning};
use clawstore_core::{CallError, EntryKey, GameId, StoreId, StoreKind, Value};
use clawstore_testkit::SeededEntropy;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::super::{STRIDE, save};
use crate::vm::LocalResult;

const CALLERS: usize = 4_096;
const GAME: GameId = GameId::Number(1);
/// Room for what is known of every key, so that leases are not given back meanwhile.
const CACHE_BYTES: usize = 2 << 30;
const PATIENCE: Duration = Duration::from_secs(10);

/// Of a key.
pub(super) fn name(index: usize) -> String {
    format!("player_{index:07}")
}

/// See the module.
pub(super) struct Filled {
    process: Arc<Process>,
    pub(super) game: Arc<Game>,
    /// Each key with one superseded version.
    pub(super) saves: Arc<StoreId>,
    /// The number of each key is unlike its name, and each number is there once.
    pub(super) scores: Arc<StoreId>,
    /// When the first version of each key was written.
    written: Vec<Timestamp>,
}

impl Filled {
    pub(super) fn fill(runtime: &Runtime, backend: Arc<dyn Backend>, keys: usize, stores: usize) -> LocalResult<Self> {
        let config = Config {
            versioning: Versioning::all(Retention::EveryWrite),
            limits: Limits::Off,
            cache_bytes: CACHE_BYTES,
            ..Config::default()
        };
        let (clock, entropy) = (Arc::new(SystemClock::start()), Arc::new(SeededEntropy::new(keys as u64)));
        let handle = runtime.handle().clone();
        let process = runtime.block_on(Process::start(backend, clock, entropy, handle, config))?;
        let game = process.game(GAME)?;
        let (saves, scores) = (store(StoreKind::Standard, "Saves")?, store(StoreKind::Ordered, "Scores")?);
        let start = Instant::now();
        let mut filled = Self { process, game, saves, scores, written: vec![Timestamp::default(); keys] };
        runtime.block_on(filled.write_all(stores))?;
        println!("{keys} keys, twice, and as many numbers: written in {:.0} s", start.elapsed().as_secs_f64());
        Ok(filled)
    }

    async fn write_all(&mut self, stores: usize) -> LocalResult<()> {
        let (drawn, mut tasks) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
        for _ in 0..CALLERS.min(self.written.len()) {
            let (game, saves, scores) = (Arc::clone(&self.game), Arc::clone(&self.saves), Arc::clone(&self.scores));
            tasks.spawn(write_some(game, saves, scores, Arc::clone(&drawn), self.written.len()));
        }
        while let Some(ended) = tasks.join_next().await {
            for (index, at) in ended?? {
                self.written[index] = at;
            }
        }
        for number in 0..stores {
            let store = store(StoreKind::Standard, &format!("Store_{number:04}"))?;
            self.game.call(&EntryKey::new(&store, b"settings")?, set(Value::integer(1))).await?;
        }
        Ok(())
    }

    pub(super) fn keys(&self) -> usize {
        self.written.len()
    }

    pub(super) fn key(&self, index: usize) -> EntryKey {
        EntryKey::new(&self.saves, name(index).as_bytes()).expect("a name of ours is legal")
    }

    /// A time at which the version was current that has been superseded since.
    pub(super) fn superseded_at(&self, index: usize) -> Timestamp {
        self.written[index]
    }

    pub(super) fn close(&self, runtime: &Runtime) {
        runtime.block_on(self.process.drain(PATIENCE));
    }
}

fn store(kind: StoreKind, name: &str) -> Result<Arc<StoreId>, CallError> {
    StoreId::new(GAME, kind, name.as_bytes(), b"global").map(Arc::new)
}

fn set(value: Value) -> Request {
    Request::Set(Set { value, attributes: Attributes::default() })
}

/// Draws keys and writes them, until all are written. Returns when the first version of each was.
async fn write_some(
    game: Arc<Game>,
    saves: Arc<StoreId>,
    scores: Arc<StoreId>,
    drawn: Arc<AtomicUsize>,
    keys: usize,
) -> Result<Vec<(usize, Timestamp)>, CallError> {
    let mut written = Vec::new();
    loop {
        let number = drawn.fetch_add(1, Ordering::Relaxed);
        if number >= keys {
            return Ok(written);
        }
        let index = number * STRIDE % keys;
        let name = name(index);
        let (key, score) = (EntryKey::new(&saves, name.as_bytes())?, EntryKey::new(&scores, name.as_bytes())?);
        let value = |seed| Value::new(save(seed)).map(set);
        let rank = set(Value::integer(i64::try_from(number).unwrap_or(i64::MAX)));
        // Made together, so that both versions are one row of a batch.
        let (first, second, third) =
            tokio::join!(game.call(&key, value(index)?), game.call(&key, value(index + 1)?), game.call(&score, rank));
        second?;
        third?;
        written.push((index, updated(first)?));
    }
}

fn updated(result: CallResult) -> Result<Timestamp, CallError> {
    match result? {
        Reply::Entry(entry) => Ok(entry.updated),
        _ => Err(CallError::internal()),
    }
}
