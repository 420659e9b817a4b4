//! The tokio runtime that the actors run on.
//!
//! Owns: a runtime of our own on a thread of its own, so that opening, shutting down and dropping work inside and outside
//! of a tokio context; waiting for a future from either. Does not own: a runtime whose handle was handed in.

use std::future::Future;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::builder::OpenError;

/// Where the actors run.
#[derive(Debug, Clone)]
pub enum Runtime {
    /// A runtime of our own, with this many worker threads.
    Own {
        /// At least 1.
        workers: usize,
    },
    /// A runtime of the caller's, which must outlive the store and have its drivers of time and, for Postgres, of I/O on.
    Handle(Handle),
}

impl Default for Runtime {
    fn default() -> Self {
        Self::Own { workers: 2 }
    }
}

/// How long a stopping runtime waits for its tasks. Everything durable is done by then; this only bounds stragglers.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// A running runtime.
#[derive(Debug)]
pub(crate) struct Running {
    handle: Handle,
    /// Stops our own runtime; `None` for one that was handed in.
    own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn start(runtime: Runtime) -> std::io::Result<Self> {
        match runtime {
            Runtime::Handle(handle) => Ok(Self { handle, own: None }),
            Runtime::Own { workers } => Self::start_own(workers.max(1)),
        }
    }

    fn start_own(workers: usize) -> std::io::Result<Self> {
        let (stop, stopped) = oneshot::channel::<()>();
        let (started, start) = mpsc::channel();
        let builder = std::thread::Builder::new().name("clawstore".into());
        let thread = builder.spawn(move || {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let runtime = builder.worker_threads(workers).thread_name("clawstore-worker").enable_all().build();
            match runtime {
                Err(error) => drop(started.send(Err(error))),
                Ok(runtime) => {
                    let _ = started.send(Ok(runtime.handle().clone()));
                    let _ = runtime.block_on(stopped);
                    runtime.shutdown_timeout(STOP_PATIENCE);
                }
            }
        })?;
        let handle = start.recv().map_err(std::io::Error::other)??;
        Ok(Self { handle, own: Some(Own { stop: Some(stop), thread: Some(thread) }) })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs a future on the runtime and waits for it, from any thread but the runtime's own single one.
    pub(crate) fn wait<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (done, result) = mpsc::channel();
        self.handle.spawn(async move {
            let _ = done.send(future.await);
        });
        result.recv().ok()
    }

    /// As [`Running::wait`], while opening.
    pub(crate) fn wait_for<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, OpenError> {
        self.wait(future).ok_or_else(|| OpenError::Actor("the runtime has stopped".into()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(own) = &mut self.own {
            drop(own.stop.take());
            if let Some(thread) = own.thread.take() {
                // It ends within `STOP_PATIENCE`; a panic in it has been printed.
                let _ = thread.join();
            }
        }
    }
}
