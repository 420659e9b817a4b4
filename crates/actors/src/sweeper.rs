//! Housekeeping of a process: history that is not kept any more is deleted, and games that others delete are noticed.
//!
//! Owns: when these are done, in the background, in steps that nobody notices, and saying once that they fail. Does not own:
//! what is not kept any more (`core::versioning`), deleting it (the backend), what a deleted game means (`life_cycle`).
//!
//! What is not kept any more is shown to nobody, swept or not: a sweep that fails costs room, and is tried again.

use std::sync::{Arc, Weak};
use std::time::Duration;

use clawstore_core::backend::BackendError;
use clawstore_core::limits::{BEAT_EVERY, SWEEP_EVERY};
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
        let mut tasks = vec![process.runtime.spawn(sweep_for_ever(weak(), SWEEP_EVERY)).abort_handle()];
        if process.ownership.is_some() {
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
    loop {
        ticks.tick().await;
        let Some(process) = process.upgrade() else { return };
        let swept = process.sweep_history().await;
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

impl Process {
    /// Deletes what is not kept any more, a step at a time; says how many rows.
    pub(crate) async fn sweep_history(&self) -> Result<usize, BackendError> {
        let mut rows = 0;
        loop {
            let sweep = Arc::new(self.config.versioning.sweep(&self.open_games(), self.clock.wall()));
            let most = sweep.rows;
            let step = self.reader.backend().expire(sweep).await?;
            rows += step;
            if step < most {
                return Ok(rows);
            }
            tokio::task::yield_now().await;
        }
    }
}
