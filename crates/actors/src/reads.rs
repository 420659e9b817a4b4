//! Reads from the backend, many keys at a time.
//!
//! Owns: gathering what is waiting into one backend call, at most two calls at once; landing the flights of keys without an
//! actor. Does not own: when a flight may be joined (`client`), deadlines of those who wait (`passivation`).

use std::sync::Arc;
use std::time::Duration;

use clawstore_core::backend::{Backend, BackendError, BackendErrorKind};
use clawstore_core::clock::{Clock, Moment};
use clawstore_core::key_machine::Input;
use clawstore_core::ops::Reply;
use clawstore_core::{CallError, Entry, EntryKey};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use crate::slot::{Activation, Flight, Slot};

/// Most keys of one backend read.
const KEYS_PER_READ: usize = 256;
/// Backend reads at once.
const READS_AT_ONCE: usize = 2;

#[derive(Debug)]
enum Purpose {
    /// For those on the slot's flight of this number.
    Flight(u64),
    /// For whoever needs the state as it is after the asking: an activation, a machine that shares the key.
    Fresh(oneshot::Sender<Result<Entry, BackendError>>),
}

#[derive(Debug)]
struct Job {
    slot: Arc<Slot>,
    purpose: Option<Purpose>,
}

impl Drop for Job {
    /// A job that nobody will do ends its flight: nobody may board one that never lands.
    fn drop(&mut self) {
        if let Some(Purpose::Flight(number)) = self.purpose.take() {
            drop(take_flight(&self.slot, number));
        }
    }
}

/// Sends reads to the reader task.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    backend: Arc<dyn Backend>,
    jobs: mpsc::UnboundedSender<Job>,
    runtime: Handle,
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
        runtime.spawn(run(queue, Arc::clone(&backend), clock, deadline));
        Self { backend, jobs, runtime: runtime.clone() }
    }

    /// What it reads from, for lists.
    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    pub(crate) fn read_flight(&self, slot: &Arc<Slot>, number: u64) {
        self.send(Job { slot: Arc::clone(slot), purpose: Some(Purpose::Flight(number)) });
    }

    /// Reads the durable state of a key as it is after now.
    pub(crate) async fn read_fresh(&self, slot: &Arc<Slot>) -> Result<Entry, BackendError> {
        let (reply, answer) = oneshot::channel();
        self.send(Job { slot: Arc::clone(slot), purpose: Some(Purpose::Fresh(reply)) });
        answer
            .await
            .unwrap_or_else(|_| Err(BackendError::new(BackendErrorKind::Unavailable, "The reader has stopped.")))
    }

    fn send(&self, job: Job) {
        // The reader stops with its runtime; a job that comes later is dropped, which ends its flight. The caller holds the
        // slot's lock, so the job is dropped elsewhere.
        if let Err(mpsc::error::SendError(job)) = self.jobs.send(job) {
            self.runtime.spawn(async move { drop(job) });
        }
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
            let until = Instant::now() + deadline;
            // The age of what is read counts from here: the answer may be long on its way, and this process frozen meanwhile.
            let asked = clock.now();
            match read(&*backend, &jobs, until).await {
                // One entry that cannot be read must not cost its neighbours theirs.
                Err(error) if error.kind == BackendErrorKind::Corrupt && jobs.len() > 1 => {
                    for job in jobs {
                        let alone = [job];
                        let result = read(&*backend, &alone, until).await;
                        deliver(alone, result, asked);
                    }
                }
                result => deliver(jobs, result, asked),
            }
            drop(turn);
        });
    }
}

async fn read(backend: &dyn Backend, jobs: &[Job], until: Instant) -> Result<Vec<Entry>, BackendError> {
    let keys: Vec<EntryKey> = jobs.iter().map(|job| job.slot.key.clone()).collect();
    let late = || BackendError::new(BackendErrorKind::Unavailable, "The store did not answer a read in time.");
    let entries = crate::client::timeout_at(until, backend.read_entries(keys)).await.unwrap_or_else(|| Err(late()))?;
    if entries.len() == jobs.len() {
        Ok(entries)
    } else {
        Err(BackendError::new(BackendErrorKind::Internal, "The store's answer to a read was not complete."))
    }
}

fn deliver(jobs: impl IntoIterator<Item = Job>, result: Result<Vec<Entry>, BackendError>, asked: Moment) {
    match result {
        Ok(entries) => {
            for (job, entry) in jobs.into_iter().zip(entries) {
                finish(job, Ok(entry), asked);
            }
        }
        Err(error) => jobs.into_iter().for_each(|job| finish(job, Err(error.clone()), asked)),
    }
}

fn finish(mut job: Job, result: Result<Entry, BackendError>, asked: Moment) {
    let flight = match job.purpose.take() {
        Some(Purpose::Fresh(reply)) => {
            // Who has gone needs no entry.
            let _ = reply.send(result);
            return;
        }
        Some(Purpose::Flight(number)) => take_flight(&job.slot, number),
        None => None,
    };
    let Some(flight) = flight else { return };
    let result = result.map(|entry| land(&job.slot, flight.generation, Arc::new(entry), asked));
    for (_, mut caller) in flight.waiters {
        caller.answer(match &result {
            Ok(entry) => Ok(Reply::Entry(Arc::clone(entry))),
            Err(error) => Err(CallError::unavailable(error)),
        });
    }
}

/// Takes a flight out of its slot. Its waiters are answered without the slot's lock.
fn take_flight(slot: &Slot, number: u64) -> Option<Flight> {
    let mut state = slot.lock();
    let at = state.flights.iter().position(|flight| flight.number == number)?;
    Some(state.flights.swap_remove(at))
}

/// What has been read, as it is shown. Of a key without an actor it is left for the next readers, unless the key has been
/// active meanwhile.
fn land(slot: &Slot, generation: u64, entry: Arc<Entry>, asked: Moment) -> Arc<Entry> {
    let mut state = slot.lock();
    match &state.activation {
        Activation::Vacant => {
            // Reads may land in another order than they began, and after an activation that has left something newer.
            let is_news = match state.cached_at {
                Some(at) => (entry.revision, asked) > (state.durable.revision, at),
                None => state.generation == generation,
            };
            if is_news {
                (state.durable, state.cached_at) = (Arc::clone(&entry), Some(asked));
            }
        }
        Activation::Live(_) if state.shared.is_shared() => {
            if entry.revision > state.durable.revision {
                state.shared.others_wrote(asked);
                state.durable = Arc::clone(&entry);
            }
            state.cached_at = Some(asked);
            return Arc::clone(&state.durable);
        }
        // A write of this process was answered while the read was on its way: its callers must not see what was before.
        Activation::Live(_) if state.durable.revision > entry.revision => return Arc::clone(&state.durable),
        // Owned here, with a stored state that nobody here has written: it is somebody else's.
        Activation::Live(actor) if entry.revision > state.durable.revision && !slot.has_unsettled() => {
            let _ = actor.cast(Input::Lost);
        }
        Activation::Activating(_) | Activation::Leaving(..) => state.shown = state.shown.max(entry.revision),
        _ => {}
    }
    entry
}
