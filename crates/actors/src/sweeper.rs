//! Housekeeping of a process: history that is not kept any more is deleted, and games that others delete are noticed.
//!
//! Owns: when these are done, in the background, in steps that nobody notices, and saying once that they fail. Does not own:
//! what is not kept any more (`core::versioning`), deleting it (the backend), what a deleted game means (`life_cycle`).
//!
//! What is not kept any more is shown to nobody, swept or not: a sweep that fails costs room, and is tried again.

use std::sync::{Arc, Weak};
use std::time::Duration;

use clawstore_core::backend::{BackendError, BackendErrorKind, Sweep};
use clawstore_core::limits::{BEAT_EVERY, SWEEP_EVERY, SWEEP_ROWS};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior};

use crate::metric_definitions::TRACE_STORE;
use crate::process::Process;

/// The tasks of a process. They end with it.
#[derive(Debug)]
pub(crate) struct Sweeper(Vec<AbortHandle>);

impl Sweeper {
    pub(crate) fn start(process: &Arc<Process>) -> Self {
        let weak = || Arc::downgrade(process);
        let (is_shared, mut tasks) = (process.ownership.is_some(), Vec::new());
        // A month may pass in a simulation within a second: what others keep in a shared database is not its to delete.
        if !(is_shared && process.clock.is_simulated()) {
            tasks.push(process.runtime.spawn(sweep_for_ever(weak(), SWEEP_EVERY)).abort_handle());
        }
        if is_shared {
            tasks.push(process.runtime.spawn(look_for_ever(weak())).abort_handle());
        }
        Self(tasks)
    }

    pub(crate) fn stop(&self) {
        self.0.iter().for_each(AbortHandle::abort);
    }

    #[cfg(test)]
    pub(crate) fn has_ended(&self) -> bool {
        self.0.iter().all(AbortHandle::is_finished)
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(crate) async fn sweep_for_ever(process: Weak<Process>, every: Duration) {
    let (mut ticks, mut fails) = (tokio::time::interval_at(Instant::now() + every, every), false);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut size = StepSize::default();
    loop {
        ticks.tick().await;
        let Some(process) = process.upgrade() else { return };
        let swept = process.sweep_history(&mut size).await;
        say_once(&mut fails, swept, "history that is not kept any more could not be deleted; it is tried again");
    }
}

async fn look_for_ever(process: Weak<Process>) {
    let (mut ticks, mut fails) = (tokio::time::interval_at(Instant::now() + BEAT_EVERY, BEAT_EVERY), false);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(process) = process.upgrade() else { return };
        let looked = process.refresh_deleted().await;
        say_once(&mut fails, looked, "the store does not say which games are deleted; it is asked again");
    }
}

/// The first failure is a warning; those that follow it are not.
fn say_once<T>(fails: &mut bool, result: Result<T, BackendError>, what: &str) {
    match result {
        Ok(_) => *fails = false,
        Err(error) if !*fails => {
            *fails = true;
            tracing::warn!(target: TRACE_STORE, %error, "{what}");
        }
        Err(_) => {}
    }
}

/// How many rows the next step of a deletion is of. Rows may be large, and a step that takes too long is undone as a whole: half
/// as many are tried then, and slowly more again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StepSize(usize);

impl Default for StepSize {
    fn default() -> Self {
        Self(SWEEP_ROWS)
    }
}

impl StepSize {
    pub(crate) fn rows(self) -> usize {
        self.0
    }

    /// Takes note of how a step of this size went: its rows, if it was done, `None` if a smaller one is to be tried.
    ///
    /// # Errors
    /// If a smaller one would not help.
    pub(crate) fn note(&mut self, step: Result<usize, BackendError>) -> Result<Option<usize>, BackendError> {
        match step {
            Ok(rows) => {
                self.0 = (self.0 + self.0 / 8 + 1).min(SWEEP_ROWS);
                Ok(Some(rows))
            }
            // A step may be repeated, whatever became of it.
            Err(error)
                if matches!(error.kind, BackendErrorKind::Unavailable | BackendErrorKind::Unknown) && self.0 > 1 =>
            {
                self.0 /= 2;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl Process {
    /// Deletes what is not kept any more, a step at a time; says how many rows.
    pub(crate) async fn sweep_history(&self, size: &mut StepSize) -> Result<usize, BackendError> {
        let mut rows = 0;
        loop {
            let most = size.rows();
            let sweep = self.config.versioning.sweep(&self.open_games(), &*self.clock);
            let step = self.reader.backend().expire(Arc::new(Sweep { rows: most, ..sweep })).await;
            if let Some(step) = size.note(step)? {
                rows += step;
                if step < most {
                    return Ok(rows);
                }
            }
            tokio::task::yield_now().await;
        }
    }
}
