//! Threads that answer jobs.
//!
//! Owns: handing a job to a thread, waiting for its answer without an async runtime, and what a caller gets when the
//! thread is gone. Does not own: what the jobs do.

use std::fmt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use clawstore_core::backend::{BackendError, BackendErrorKind};
use tokio::sync::oneshot;

use crate::failure::Latch;

/// Where an answer goes. Nobody waits for it any more if the caller's future was dropped.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, BackendError>>;

/// Threads with one queue of jobs. The queue has no bound of its own: a lane has one batch in flight, and reads are
/// bounded by the calls that were admitted.
pub(crate) struct Worker<J> {
    jobs: Mutex<Option<Sender<J>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    latch: Latch,
    /// What a caller is told whose job was lost with its thread.
    lost: BackendErrorKind,
}

/// The threads' end of the queue.
pub(crate) struct Jobs<J>(Arc<Mutex<Receiver<J>>>);

impl<J> Jobs<J> {
    /// Waits for a job; `None` when the worker is closed and the queue is empty.
    pub(crate) fn next(&self) -> Option<J> {
        lock(&self.0).recv().ok()
    }
}

impl<J: Send + 'static> Worker<J> {
    /// Starts one thread per body.
    pub(crate) fn start<F>(name: &str, latch: Latch, lost: BackendErrorKind, bodies: Vec<F>) -> std::io::Result<Self>
    where
        F: FnOnce(&Jobs<J>) + Send + 'static,
    {
        let (sender, receiver) = channel();
        let worker = Self { jobs: Mutex::new(Some(sender)), threads: Mutex::default(), latch, lost };
        let receiver = Arc::new(Mutex::new(receiver));
        for body in bodies {
            let jobs = Jobs(Arc::clone(&receiver));
            let thread = thread::Builder::new().name(name.to_owned()).spawn(move || body(&jobs))?;
            lock(&worker.threads).push(thread);
        }
        Ok(worker)
    }

    /// Hands a job over and waits for the answer. Nothing happens until the future is polled; from then on the job is
    /// done even if the future is dropped.
    pub(crate) async fn ask<T>(&self, make: impl FnOnce(Reply<T>) -> J + Send) -> Result<T, BackendError> {
        self.latch.check()?;
        let (reply, answer) = oneshot::channel();
        let sent = lock(&self.jobs).as_ref().is_some_and(|jobs| jobs.send(make(reply)).is_ok());
        if !sent {
            self.latch.check()?;
            return Err(BackendError::new(BackendErrorKind::Unavailable, "the database is closed"));
        }
        match answer.await {
            Ok(answer) => answer,
            Err(_) => Err(BackendError::new(self.lost, "the database thread ended before it answered")),
        }
    }
}

impl<J> Worker<J> {
    /// Lets the threads finish what is queued, and waits for them. Later jobs are refused.
    pub(crate) fn close(&self) {
        drop(lock(&self.jobs).take());
        let threads = std::mem::take(&mut *lock(&self.threads));
        for thread in threads {
            // A thread that panicked has told so by its panic message and by the latch.
            let _ = thread.join();
        }
    }
}

impl<J> Drop for Worker<J> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<J> fmt::Debug for Worker<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("latch", &self.latch).finish_non_exhaustive()
    }
}

/// What is behind these locks is whole whenever they are released, a panic included.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
