//! Reads from the backend, many keys at a time.
//!
//! Owns: gathering what is waiting into one backend call, at most two calls at once; flights of keys without an actor.
//! Does not own: when a flight may be joined or its value cached (`client`, `slot`).

use std::sync::Arc;
use std::time::Duration;

use clawstore_core::backend::{Backend, BackendError, BackendErrorKind};
use clawstore_core::clock::Clock;
use clawstore_core::ops::Reply;
use clawstore_core::{CallError, Entry, EntryKey};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use crate::call_port::CallPort;
use crate::slot::{Activation, Slot};

/// Most keys of one backend read.
const KEYS_PER_READ: usize = 256;
/// Backend reads at once.
const READS_AT_ONCE: usize = 2;

#[derive(Debug)]
enum Purpose {
    /// For everyone on the slot's flight.
    Flight,
    /// For one caller who must not share a read that began before.
    Alone(CallPort),
    /// For the activation of the key.
    Activate(oneshot::Sender<Result<Entry, BackendError>>),
}

#[derive(Debug)]
struct Job {
    slot: Arc<Slot>,
    generation: u64,
    purpose: Purpose,
}

/// Sends reads to the reader task.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    jobs: mpsc::UnboundedSender<Job>,
}

impl Reader {
    pub(crate) fn start(
        backend: Arc<dyn Backend>,
        clock: Arc<dyn Clock>,
        runtime: &Handle,
        deadline: Duration,
    ) -> Self {
        // Bounded by what is admitted: one job per activation, flight or uncached read.
        let (jobs, queue) = mpsc::unbounded_channel();
        runtime.spawn(run(queue, backend, clock, deadline));
        Self { jobs }
    }

    pub(crate) fn read_flight(&self, slot: &Arc<Slot>, generation: u64) {
        self.send(Job { slot: Arc::clone(slot), generation, purpose: Purpose::Flight });
    }

    pub(crate) fn read_alone(&self, slot: &Arc<Slot>, generation: u64, caller: CallPort) {
        self.send(Job { slot: Arc::clone(slot), generation, purpose: Purpose::Alone(caller) });
    }

    /// Reads the durable state of a key that is being activated.
    pub(crate) async fn read_for_activation(&self, slot: &Arc<Slot>) -> Result<Entry, BackendError> {
        let (reply, answer) = oneshot::channel();
        self.send(Job { slot: Arc::clone(slot), generation: 0, purpose: Purpose::Activate(reply) });
        answer
            .await
            .unwrap_or_else(|_| Err(BackendError::new(BackendErrorKind::Unavailable, "The reader has stopped.")))
    }

    fn send(&self, job: Job) {
        // The reader stops with its runtime; a job that comes later is dropped, which answers it.
        let _ = self.jobs.send(job);
    }
}

async fn run(
    mut queue: mpsc::UnboundedReceiver<Job>,
    backend: Arc<dyn Backend>,
    clock: Arc<dyn Clock>,
    deadline: Duration,
) {
    let slots = Arc::new(Semaphore::new(READS_AT_ONCE));
    while let Ok(turn) = Arc::clone(&slots).acquire_owned().await {
        let mut jobs = Vec::new();
        if queue.recv_many(&mut jobs, KEYS_PER_READ).await == 0 {
            return;
        }
        let (backend, clock) = (Arc::clone(&backend), Arc::clone(&clock));
        #[expect(clippy::disallowed_methods, reason = "ends by its deadline; holds its turn until then")]
        tokio::spawn(async move {
            let keys: Vec<EntryKey> = jobs.iter().map(|job| job.slot.key.clone()).collect();
            let read = crate::client::timeout_at(Instant::now() + deadline, backend.read_entries(keys)).await;
            let result = read.unwrap_or_else(|| {
                Err(BackendError::new(BackendErrorKind::Unavailable, "The store did not answer a read in time."))
            });
            deliver(jobs, result, &*clock);
            drop(turn);
        });
    }
}

fn deliver(jobs: Vec<Job>, result: Result<Vec<Entry>, BackendError>, clock: &dyn Clock) {
    match result {
        Ok(entries) => {
            debug_assert_eq!(jobs.len(), entries.len(), "one entry per key");
            for (job, entry) in jobs.into_iter().zip(entries) {
                finish(job, Ok(entry), clock);
            }
        }
        Err(error) => jobs.into_iter().for_each(|job| finish(job, Err(error.clone()), clock)),
    }
}

fn finish(job: Job, result: Result<Entry, BackendError>, clock: &dyn Clock) {
    let waiters = match job.purpose {
        Purpose::Activate(reply) => {
            // An activation that was given up needs no entry.
            let _ = reply.send(result);
            return;
        }
        Purpose::Alone(caller) => vec![caller],
        Purpose::Flight => take_flight(&job.slot, job.generation),
    };
    let result = result.map(Arc::new);
    if let Ok(entry) = &result {
        cache(&job.slot, job.generation, entry, clock);
    }
    for mut caller in waiters {
        caller.answer(match &result {
            Ok(entry) => Ok(Reply::Entry(Arc::clone(entry))),
            Err(error) => Err(CallError::unavailable(error)),
        });
    }
}

fn take_flight(slot: &Slot, generation: u64) -> Vec<CallPort> {
    let mut state = slot.lock();
    match &state.flight {
        Some(flight) if flight.generation == generation => {
            state.flight.take().map(|flight| flight.waiters).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

/// Leaves the value for the next readers, unless the key has been active meanwhile.
fn cache(slot: &Slot, generation: u64, entry: &Arc<Entry>, clock: &dyn Clock) {
    let mut state = slot.lock();
    let unchanged = state.generation == generation && entry.revision >= state.durable.revision;
    if matches!(state.activation, Activation::Vacant) && unchanged {
        state.durable = Arc::clone(entry);
        state.cached_at = Some(clock.now());
    }
}
