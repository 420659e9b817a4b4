//! What a simulated run decides about engine calls: how long they take, and which of them fail.
//!
//! Owns: the seam through which a runner has its say. Does not own: any decision (the runner makes them from its seed), time
//! (`Server::wall`, which the runner simulates).

use std::time::Duration;

use clawstore_core::CallError;

/// A call that is about to start.
#[derive(Debug, Clone, Copy)]
pub struct CallInfo<'a> {
    /// Of which service: `DataStoreService`, `MemoryStoreService` or `MessagingService`.
    pub service: &'a str,
    /// Which method: `UpdateAsync`.
    pub method: &'a str,
}

/// What is to become of a call.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// The call returns no earlier than this after it was made, by [`clawstore_core::clock::Clock::wall`].
    pub latency: Duration,
    /// How it fails, if it does.
    pub fault: Option<Fault>,
}

/// How a call fails.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It is not carried out.
    Refuse(CallError),
    /// It is carried out, and its caller is told this.
    LoseAnswer(CallError),
}

/// Decides about the calls of one VM.
pub trait CallControl {
    /// Called once for each call that a script makes, in order.
    fn begin(&self, call: &CallInfo<'_>) -> Verdict;
    /// How long a message of this topic is on its way to this VM; `None` loses it.
    fn deliver(&self, topic: &str) -> Option<Duration>;
    /// Is the end of a call waited for inside the call? Then what happens depends on nothing but what the scripts do, while
    /// results are still given out as late as the verdict says. For simulated time: it stands still meanwhile.
    fn settles_calls(&self) -> bool;
    /// Returns when something may have arrived for the VM. May return too early.
    fn wait(&self);
}
