//! One game of a process: everything that concerns its keys.
//!
//! Owns: the game's directory, flusher, supervisor, counters and sweeper; closing. Does not own: what its calls do
//! (`client`), the lane.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clawstore_core::clock::Clock;
use clawstore_core::key_machine::{Input, VmId};
use clawstore_core::memory_store::MemoryStores;
use clawstore_core::ops::CallResult;
use clawstore_core::{CallError, GameId, Outcome};
use hdrhistogram::Histogram;
use metrics::{Counter, counter};
use parking_lot::Mutex;
use ractor::{ActorRef, ActorRuntime, SpawnErr};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::admission::{Admission, Permits};
use crate::directory::Directory;
use crate::flusher::{FlusherActor, FlusherMsg};
use crate::key_supervisor::KeySupervisor;
use crate::lane::LaneMsg;
use crate::memory_store::{InProcess, PlayerCounts};
use crate::messaging::Hub;
use crate::metric_definitions::{CALLS_TOTAL, DURABLE_SECONDS};
use crate::ownership::Ownership;
use crate::process::{Config, DrainReport, Process};
use crate::rates::Rates;
use crate::reads::Reader;
use crate::server::{Server, ServerIdentity};
use crate::slot::{Activation, Slot};

/// Counts of a game's calls.
#[derive(Debug)]
pub(crate) struct Counters {
    /// Calls admitted and not settled.
    open: AtomicUsize,
    acked: AtomicU64,
    failed: AtomicU64,
    unknown: AtomicU64,
    metrics: [Counter; 3],
    /// Wakes a drain when nothing is open.
    none_open: Notify,
}

impl Counters {
    fn new() -> Self {
        let metric = |outcome: &'static str| counter!(CALLS_TOTAL, "outcome" => outcome);
        Self {
            open: AtomicUsize::new(0),
            acked: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            metrics: [metric("ok"), metric("fail"), metric("unknown")],
            none_open: Notify::new(),
        }
    }

    pub(crate) fn call_opened(&self) {
        self.open.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn call_settled(&self) {
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.none_open.notify_waiters();
        }
    }

    pub(crate) fn call_ended(&self, result: &CallResult) {
        let [ok, fail, unknown] = &self.metrics;
        let (count, metric) = match result {
            Ok(_) => (&self.acked, ok),
            Err(CallError { outcome: Outcome::Fail, .. }) => (&self.failed, fail),
            Err(CallError { outcome: Outcome::Unknown, .. }) => (&self.unknown, unknown),
        };
        count.fetch_add(1, Ordering::Relaxed);
        metric.increment(1);
    }

    fn report(&self) -> DrainReport {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        DrainReport { acked: read(&self.acked), failed: read(&self.failed), unknown: read(&self.unknown) }
    }
}

/// Figures of a game, for a status line.
#[derive(Debug, Clone, Copy, Default)]
pub struct GameStats {
    /// Calls admitted and not settled.
    pub in_flight: usize,
    /// Calls that have ended, by outcome, since the game was opened.
    pub ended: DrainReport,
    /// Writes made durable since the game was opened.
    pub saves: u64,
    /// From call to durable answer, since the last look: median and 99th percentile, in microseconds.
    pub durable_us: (u64, u64),
    /// Keys with an actor.
    pub active_keys: usize,
    /// Keys in memory, with or without an actor.
    pub resident_keys: usize,
}

/// One game.
#[derive(Debug)]
pub struct Game {
    pub(crate) id: GameId,
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) runtime: Handle,
    pub(crate) reader: Reader,
    pub(crate) directory: Arc<Directory>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) flusher: ActorRef<FlusherMsg>,
    pub(crate) supervisor: ActorRef<()>,
    pub(crate) latency: Arc<Latency>,
    pub(crate) hub: Arc<Hub>,
    /// The process's leases; `None` if it owns every key.
    pub(crate) ownership: Option<Arc<Ownership>>,
    pub(crate) active_keys: AtomicUsize,
    pub(crate) memory_stores: Arc<dyn MemoryStores>,
    pub(crate) player_counts: PlayerCounts,
    pub(crate) rates: Arc<Rates>,
    /// Seconds since the game was opened: the clock of `Slot::last_used`.
    pub(crate) seconds: std::sync::atomic::AtomicU32,
    /// Keys whose machine wants ticks.
    pub(crate) ticking: Mutex<Vec<Arc<Slot>>>,
    /// Memory is short: the next tick sweeps.
    pub(crate) sweep_soon: AtomicBool,
    /// Numbers of read flights.
    pub(crate) flights: AtomicU64,
    halted: Arc<OnceLock<String>>,
    closed: AtomicBool,
    /// Its data is marked as deleted: calls fail (`life_cycle`).
    pub(crate) deleted: AtomicBool,
    held_ended: AtomicBool,
    stopped: AtomicBool,
    vms: Arc<AtomicU64>,
}

/// Times from call to durable answer.
#[derive(Debug)]
pub(crate) struct Latency {
    histogram: Mutex<Histogram<u64>>,
    metric: metrics::Histogram,
    saves: AtomicU64,
}

impl Latency {
    fn new() -> Self {
        // 1 µs to 10 min at two digits: 20 kB, and it cannot fail for these constants.
        let histogram = Histogram::new_with_bounds(1, 600_000_000, 2).expect("constant bounds are valid");
        Self {
            histogram: Mutex::new(histogram),
            metric: metrics::histogram!(DURABLE_SECONDS),
            saves: AtomicU64::new(0),
        }
    }

    pub(crate) fn record(&self, times: &[Duration]) {
        let mut histogram = self.histogram.lock();
        for time in times {
            histogram.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
            self.metric.record(time.as_secs_f64());
        }
        self.saves.fetch_add(times.len() as u64, Ordering::Relaxed);
    }

    fn take(&self) -> (u64, u64) {
        let mut histogram = self.histogram.lock();
        let percentiles = (histogram.value_at_quantile(0.5), histogram.value_at_quantile(0.99));
        histogram.reset();
        percentiles
    }
}

impl Game {
    pub(crate) fn open(process: &Process, id: GameId) -> Result<Arc<Self>, SpawnErr> {
        // Spawning needs the runtime's context; the caller may be on any thread.
        let _context = process.runtime.enter();
        let latency = Arc::new(Latency::new());
        let directory = Arc::new(Directory::new());
        let flusher = FlusherActor::new(
            id,
            process.lane.clone(),
            Arc::clone(&directory),
            Arc::clone(&process.clock),
            Arc::clone(&latency),
            process.ownership.clone(),
            process.config.call_deadline,
        );
        // `spawn_instant`: both have nothing to do before they start, so there is no failure that could be hidden.
        let (flusher, _) = ActorRuntime::spawn_linked_instant(None, flusher, (), process.lane.get_cell())?;
        let (supervisor, _) = ActorRuntime::spawn_instant(None, KeySupervisor, ())?;
        let _ = process.lane.cast(LaneMsg::Register(id, flusher.clone()));
        let game = Permits::new(process.config.pending_bytes_per_game);
        let game = Arc::new(Self {
            id,
            config: process.config.clone(),
            clock: Arc::clone(&process.clock),
            runtime: process.runtime.clone(),
            reader: process.reader.clone(),
            directory,
            admission: Arc::new(Admission { game, process: Arc::clone(&process.permits) }),
            counters: Arc::new(Counters::new()),
            flusher,
            supervisor,
            latency,
            hub: Hub::open(id, process.config.limits, process.carrier.clone()),
            ownership: process.ownership.clone(),
            active_keys: AtomicUsize::new(0),
            player_counts: PlayerCounts::default(),
            rates: Rates::new(Arc::clone(&process.clock), process.config.limits),
            memory_stores: Arc::new(InProcess::new(Arc::clone(&process.clock), process.config.limits)),
            seconds: std::sync::atomic::AtomicU32::new(0),
            ticking: Mutex::new(Vec::new()),
            sweep_soon: AtomicBool::new(false),
            flights: AtomicU64::new(0),
            halted: Arc::clone(&process.halted),
            closed: AtomicBool::new(false),
            deleted: AtomicBool::new(false),
            held_ended: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            vms: process.vm_numbers(),
        });
        if let Some(ownership) = &game.ownership {
            ownership.register(id, Arc::downgrade(&game));
        }
        crate::passivation::start_sweeper(&game);
        Ok(game)
    }

    /// The runtime that its actors are on.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Which game this is.
    pub fn id(&self) -> GameId {
        self.id
    }

    /// A server of this game: one per VM.
    pub fn server(self: &Arc<Self>, identity: ServerIdentity) -> Server {
        Server::new(Arc::clone(self), self.new_vm(), identity)
    }

    pub(crate) fn new_vm(&self) -> VmId {
        VmId(self.vms.fetch_add(1, Ordering::Relaxed))
    }

    /// Figures as of now; percentiles since the last look.
    pub fn stats(&self) -> GameStats {
        GameStats {
            in_flight: self.counters.open.load(Ordering::Acquire),
            ended: self.counters.report(),
            saves: self.latency.saves.load(Ordering::Relaxed),
            durable_us: self.latency.take(),
            active_keys: self.active_keys.load(Ordering::Relaxed),
            resident_keys: self.directory.len(),
        }
    }

    /// Refuses calls from now on; returns the counts as of now.
    pub(crate) fn close_admission(&self) -> DrainReport {
        self.closed.store(true, Ordering::Release);
        self.counters.report()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Nothing waits for a VM any more: said to keys that become active from now on.
    pub(crate) fn holds_nothing(&self) -> bool {
        self.held_ended.load(Ordering::Acquire)
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(crate) fn is_halted(&self) -> bool {
        self.halted().is_some()
    }

    /// Why the store will not work again until it is reopened (an fsync error), if so.
    pub fn halted(&self) -> Option<&str> {
        self.halted.get().map(String::as_str)
    }

    pub(crate) fn ended_since(&self, before: DrainReport) -> DrainReport {
        let now = self.counters.report();
        DrainReport {
            acked: now.acked - before.acked,
            failed: now.failed - before.failed,
            unknown: now.unknown - before.unknown,
        }
    }

    /// True if nothing is open by then.
    pub(crate) async fn none_open_by(&self, until: Instant) -> bool {
        loop {
            let notified = self.counters.none_open.notified();
            if self.counters.open.load(Ordering::Acquire) == 0 {
                return true;
            }
            if crate::client::timeout_at(until, notified).await.is_none() {
                return false;
            }
        }
    }

    /// Ends updates that wait for a VM, and lets nothing wait for one any more.
    pub(crate) fn end_held(&self) {
        self.held_ended.store(true, Ordering::Release);
        self.directory.for_each(|slot| slot.send_if_live(Input::Closing));
    }

    /// Ends everything that is open: never sent FAIL, sent UNKNOWN.
    pub(crate) fn abort(&self) {
        self.stopped.store(true, Ordering::Release);
        let _ = self.flusher.cast(FlusherMsg::Abort);
        self.end_slots();
    }

    /// Ends the calls that wait in slots and machines. Those that the flusher has are its own to end.
    fn end_slots(&self) {
        let mut slots = Vec::new();
        self.directory.for_each(|slot| slots.push(Arc::clone(slot)));
        for slot in slots {
            let mut state = slot.lock();
            let activation = std::mem::replace(&mut state.activation, Activation::Removed);
            let flights = std::mem::take(&mut state.flights);
            // The store forgets a key that was never written with its lease; nobody else would ever see to it.
            let is_known = matches!(activation, Activation::Live(_)) || state.cached_at.is_some();
            let unwritten = state.lease.filter(|_| is_known && state.durable.revision == 0);
            drop(state);
            if let (Some(ownership), Some(fence)) = (&self.ownership, unwritten) {
                ownership.give_back(slot.key.clone(), fence, false);
            }
            self.directory.remove(&slot);
            if let Activation::Live(actor) = &activation {
                actor.kill();
            }
            // Dropping what waited answers it: FAIL. Not under the lock: answering runs the host's wake-up.
            drop((activation, flights));
        }
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.end_slots();
        self.supervisor.stop(None);
        self.flusher.stop(None);
    }
}
