//! One per process and database: what all games share.
//!
//! Owns: the lanes, the reader, the session lock, the process's memory permits, the table of games, numbers for VMs, and draining
//! everything at shutdown. Does not own: the tokio runtime, the backend's life.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clawstore_core::GameId;
use clawstore_core::backend::{Backend, BackendError};
use clawstore_core::clock::Clock;
use clawstore_core::entropy::Entropy;
use clawstore_core::lease::Sharing;
use clawstore_core::limits::{self, Limits};
use clawstore_core::messaging::Publisher;
use clawstore_core::versioning::Versioning;
use parking_lot::Mutex;
use ractor::{Actor, ActorRef, SpawnErr};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::admission::Permits;
use crate::game::Game;
use crate::lane::{LaneActor, LaneMsg};
use crate::messaging::carrier::Carrier;
use crate::metric_definitions::TRACE_BATCHES;
use crate::ownership::Ownership;
use crate::reads::Reader;
use crate::session_lock;
use crate::sweeper::Sweeper;

/// Settings with their defaults (`decisions.md` 23).
#[derive(Debug, Clone)]
pub struct Config {
    /// Every call is answered within this time.
    pub call_deadline: Duration,
    /// Keys without calls for this long leave memory.
    pub idle_before_passivation: Duration,
    /// Ceiling for the bytes of keys in memory, per game.
    pub cache_bytes: usize,
    /// Ceiling for the bytes of calls on their way, per game.
    pub pending_bytes_per_game: usize,
    /// The same for the process.
    pub pending_bytes_per_process: usize,
    /// Which superseded revisions are kept, and for how long.
    pub versioning: Versioning,
    /// Which rates and quotas hold.
    pub limits: Limits,
    /// Processes tell each other when a key is wanted or free. Without it they find out a little later.
    pub hints: bool,
    /// Which keys may be shared, if several processes write them.
    pub sharing: Sharing,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            call_deadline: limits::CALL_DEADLINE,
            idle_before_passivation: limits::IDLE_BEFORE_PASSIVATION,
            cache_bytes: limits::CACHE_BYTES,
            pending_bytes_per_game: limits::PENDING_BYTES_PER_GAME,
            pending_bytes_per_process: limits::PENDING_BYTES_PER_PROCESS,
            versioning: Versioning::default(),
            limits: Limits::default(),
            hints: true,
            sharing: Sharing::default(),
        }
    }
}

/// How the calls that were open when a drain began have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DrainReport {
    /// Done and durable.
    pub acked: u64,
    /// Surely not applied.
    pub failed: u64,
    /// May have been applied.
    pub unknown: u64,
}

/// Nobody writes without lanes or owns without a session lock: if one dies, the store stops, and calls fail at once instead
/// of at their deadline.
async fn watch(
    what: &'static str,
    ended: JoinHandle<()>,
    draining: Arc<AtomicBool>,
    halted: Arc<OnceLock<String>>,
    ownership: Option<Arc<Ownership>>,
) {
    // How it ended does not matter, only that nobody told it to.
    let _ = ended.await;
    if !draining.load(Ordering::Acquire) {
        tracing::error!(target: TRACE_BATCHES, "{what} died: the store stops");
        halted.get_or_init(|| format!("{what} died"));
        if let Some(ownership) = ownership {
            ownership.halt();
        }
    }
}

/// How long a drain waits for VMs to run updates that lost a race.
const VM_PATIENCE: Duration = Duration::from_secs(1);
/// How long the answers of an aborted drain may take to reach their callers.
const ABORT_PATIENCE: Duration = Duration::from_millis(500);
/// How long the store may take to set the leases free. Without an answer they end as those of the dead do.
const LEAVE_PATIENCE: Duration = Duration::from_secs(2);

/// What all games of a process share.
#[derive(Debug)]
pub struct Process {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) runtime: Handle,
    pub(crate) config: Config,
    pub(crate) permits: Arc<Permits>,
    pub(crate) lane: ActorRef<LaneMsg>,
    pub(crate) reader: Reader,
    /// Leases; `None` if this process owns every key.
    pub(crate) ownership: Option<Arc<Ownership>>,
    /// Messages to other processes; `None` if there are none that could hear them.
    pub(crate) carrier: Option<Arc<Carrier>>,
    pub(crate) halted: Arc<OnceLock<String>>,
    /// The lane may end from now on.
    draining: Arc<AtomicBool>,
    next_vm: Arc<AtomicU64>,
    pub(crate) games: Mutex<Games>,
    /// One at a time changes or looks up which games are deleted.
    pub(crate) life_cycle: tokio::sync::Mutex<()>,
    pub(crate) sweeper: OnceLock<Sweeper>,
}

#[derive(Debug, Default)]
pub(crate) struct Games {
    pub(crate) open: HashMap<GameId, Arc<Game>>,
    /// Their data is marked as deleted.
    pub(crate) deleted: HashSet<GameId>,
    closed: bool,
}

/// Why a process could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store did not take this process among its servers.
    #[error("the database does not take this process among its servers: {0}; nothing was opened")]
    Join(#[from] BackendError),
    /// The store does not say which games are deleted.
    #[error("the database cannot be read: {0}; nothing was opened")]
    Read(BackendError),
    /// An actor could not be started.
    #[error("an actor could not be started: {0}; nothing was opened")]
    Spawn(#[from] SpawnErr),
}

/// Why a game could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum GameError {
    /// The process has been shut down.
    #[error("the store has been shut down; no game was opened")]
    Closed,
    /// An actor could not be started.
    #[error("an actor could not be started: {0}; no game was opened")]
    Spawn(#[from] SpawnErr),
}

impl Process {
    /// Starts the lanes, the reader and, where several processes share the store, the session lock, on `runtime`.
    ///
    /// # Errors
    /// If the store does not take the process among its servers, or an actor cannot be started.
    pub async fn start(
        backend: Arc<dyn Backend>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        runtime: Handle,
        config: Config,
    ) -> Result<Arc<Self>, StartError> {
        let (halted, draining) = (Arc::new(OnceLock::new()), Arc::new(AtomicBool::new(false)));
        let watch = |what, ended, ownership| {
            runtime.spawn(watch(what, ended, Arc::clone(&draining), Arc::clone(&halted), ownership));
        };
        let ownership = if backend.leases().is_some() {
            let (ownership, ended) = session_lock::start(&backend, &clock, &entropy, &config).await?;
            watch("the session lock", ended, None);
            Some(Arc::new(ownership))
        } else {
            None
        };
        let actor = LaneActor::new(Arc::clone(&clock), Arc::clone(&backend), ownership.clone(), Arc::clone(&halted));
        let (lane, ended) = Actor::spawn(None, actor, ()).await?;
        watch("the lane", ended, ownership.clone());
        if let Some(ownership) = &ownership {
            ownership.tell_lane(lane.clone());
        }
        let publisher = || Publisher::from_bits(entropy.bits());
        let carrier = Carrier::start(&backend, &clock, publisher, &runtime);
        let reader = Reader::start(backend, Arc::clone(&clock), &runtime, config.call_deadline);
        let permits = Permits::new(config.pending_bytes_per_process);
        let (next_vm, games) = (Arc::new(AtomicU64::new(1)), Mutex::default());
        let process = Arc::new(Self {
            clock,
            runtime,
            config,
            permits,
            lane,
            reader,
            ownership,
            carrier,
            halted,
            draining,
            next_vm,
            games,
            life_cycle: tokio::sync::Mutex::default(),
            sweeper: OnceLock::new(),
        });
        process.refresh_deleted().await.map_err(StartError::Read)?;
        process.sweeper.get_or_init(|| Sweeper::start(&process));
        Ok(process)
    }

    /// The game of this id; opened by the first call, the same one afterwards. Needs no runtime context.
    ///
    /// # Errors
    /// If an actor cannot be started, or the process has been drained.
    pub fn game(self: &Arc<Self>, id: GameId) -> Result<Arc<Game>, GameError> {
        let mut games = self.games.lock();
        if games.closed {
            return Err(GameError::Closed);
        }
        if let Some(game) = games.open.get(&id) {
            return Ok(Arc::clone(game));
        }
        let game = Game::open(self, id)?;
        game.set_deleted(games.deleted.contains(&id));
        games.open.insert(id, Arc::clone(&game));
        Ok(game)
    }

    /// The game of this id, if it is open.
    pub(crate) fn open_game(&self, id: GameId) -> Option<Arc<Game>> {
        self.games.lock().open.get(&id).cloned()
    }

    /// Games that are open.
    pub(crate) fn open_games(&self) -> Vec<GameId> {
        self.games.lock().open.keys().copied().collect()
    }

    /// Why the store will not work again until it is reopened (an fsync error), if so.
    pub fn halted(&self) -> Option<&str> {
        self.halted.get().map(String::as_str)
    }

    /// How often the store was found to lack writes that it had acknowledged to this process.
    pub fn history_losses(&self) -> u64 {
        self.ownership.as_ref().map_or(0, |ownership| ownership.losses())
    }

    /// Bytes of calls admitted and not settled.
    pub fn pending_bytes(&self) -> usize {
        self.permits.in_use()
    }

    /// VM numbers are unique in the process; all games draw from one counter.
    pub(crate) fn vm_numbers(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.next_vm)
    }

    /// Refuses new calls, then waits until every open one is settled, at most `patience`. Updates whose VM is not heard of
    /// for a second are ended. What is not settled by then is answered FAIL if it was never sent, else UNKNOWN. Ends with
    /// all actors stopped.
    pub async fn drain(&self, patience: Duration) -> DrainReport {
        let games: Vec<_> = {
            let mut games = self.games.lock();
            games.closed = true;
            games.open.values().cloned().collect()
        };
        let before: Vec<_> = games.iter().map(|game| game.close_admission()).collect();
        let start = Instant::now();
        let until = start + patience;
        self.wait_for_all(&games, until.min(start + VM_PATIENCE)).await;
        games.iter().for_each(|game| game.end_held());
        if !self.wait_for_all(&games, until).await {
            games.iter().for_each(|game| game.abort());
            self.wait_for_all(&games, Instant::now() + ABORT_PATIENCE).await;
        }
        games.iter().for_each(|game| game.stop());
        if let Some(carrier) = &self.carrier {
            carrier.stop();
        }
        if let Some(sweeper) = self.sweeper.get() {
            sweeper.stop();
        }
        self.draining.store(true, Ordering::Release);
        self.lane.stop(None);
        if let Some(ownership) = &self.ownership {
            ownership.leave(LEAVE_PATIENCE).await;
        }
        let reports = games.iter().zip(before).map(|(game, before)| game.ended_since(before));
        reports.fold(DrainReport::default(), |sum, ended| DrainReport {
            acked: sum.acked + ended.acked,
            failed: sum.failed + ended.failed,
            unknown: sum.unknown + ended.unknown,
        })
    }

    /// True if nothing of any game is open.
    async fn wait_for_all(&self, games: &[Arc<Game>], until: Instant) -> bool {
        for game in games {
            if !game.none_open_by(until).await {
                return false;
            }
        }
        true
    }
}
