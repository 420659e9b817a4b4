//! What went wrong in the scripts of an instance.
//!
//! Owns: the list. Does not own: what an engine does about it (this one prints it and goes on, as Clawblox's server does).

use std::sync::Arc;

use clawstore::mlua::{self, Function, Lua};
use parking_lot::Mutex;

/// Errors that ended a thread. Cheap to clone: all clones are one list.
#[derive(Debug, Clone, Default)]
pub struct Problems(Arc<Mutex<Vec<String>>>);

impl Problems {
    pub(crate) fn add(&self, problem: &str) {
        eprintln!("script error: {}", problem.lines().next().unwrap_or_default());
        self.0.lock().push(problem.to_owned());
    }

    /// For scripts.
    pub(crate) fn reporter(&self, lua: &Lua) -> mlua::Result<Function> {
        let problems = self.clone();
        lua.create_function(move |_, problem: String| {
            problems.add(&problem);
            Ok(())
        })
    }

    /// All so far.
    pub fn all(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}
