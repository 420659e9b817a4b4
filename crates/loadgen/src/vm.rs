//! A VM of the runner with the store bound into it, driven without a pace: a completed call resumes at once.
//!
//! Owns: putting the two together, and waiting for the next completion. Does not own: scripts, services, when to stop.

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use clawstore::{BindOptions, Bindings, Game, ServerOptions};
use clawstore_luau::{Runtime, RuntimeOptions};

/// Errors of a VM stay on its thread.
pub(crate) type LocalResult<T> = Result<T, Box<dyn Error>>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Vm {
    pub(crate) runtime: Runtime,
    pub(crate) bindings: Bindings,
}

impl Vm {
    /// A VM of the calling thread.
    pub(crate) fn open(game: &Game) -> LocalResult<Self> {
        let start = Instant::now();
        let report = |_, text: &str| println!("script: {text}");
        let mut options = RuntimeOptions::new(move || start.elapsed(), report);
        // A script that measures computes for as long as it takes.
        options.script_timeout = None;
        let mut runtime = Runtime::new(options)?;
        let options = scheduled();
        let bindings = game.server(ServerOptions::default()).bind_with(runtime.lua(), options)?;
        let service = bindings.service("DataStoreService").ok_or("the bindings have no DataStoreService")?;
        runtime.add_service("DataStoreService", service)?;
        runtime.set_completions(bindings.completions());
        let this = thread::current();
        bindings.set_wake(move || this.unpark());
        Ok(Self { runtime, bindings })
    }

    /// Resumes what has completed; if nothing has, waits for the next completion, at most `patience`. Returns how many
    /// calls had completed.
    pub(crate) fn turn(&mut self, patience: Duration) -> LocalResult<usize> {
        let completed = self.runtime.resume_completed();
        if completed == 0 {
            // A completion since then has left its token: this returns at once.
            thread::park_timeout(patience);
        }
        if self.runtime.error_count() > 0 {
            return Err("a script has raised an error".into());
        }
        Ok(completed)
    }
}

/// For a host that resumes what has completed.
#[expect(clippy::field_reassign_with_default, reason = "it has a private field")]
fn scheduled() -> BindOptions {
    let mut options = BindOptions::default();
    options.scheduler = true;
    options
}
