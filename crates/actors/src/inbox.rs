//! Where a VM's answers arrive.
//!
//! Owns: the queue of one VM, filled from any thread and emptied by whoever runs the VM; a flag that makes looking at
//! an empty inbox cost one load; an optional wake-up for a host that sleeps. Does not own: the VM, or what is done
//! with an answer.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use clawstore_core::EntryKey;
use clawstore_core::clock::Timestamp;
use clawstore_core::key_machine::Head;
use clawstore_core::limits::INBOX_EVENTS_BEFORE_LOSS;
use clawstore_core::messaging::{Payload, Topic};
use clawstore_core::ops::CallResult;
use parking_lot::Mutex;

use crate::metric_definitions::TRACE_CALLS;

/// Something for a VM.
#[derive(Debug)]
pub enum VmEvent {
    /// A call has ended.
    Done {
        /// Its number in the VM.
        op: u64,
        /// How.
        result: CallResult,
    },
    /// The update `from` and the VM's later calls on `key` must run again on `head`.
    Rerun {
        /// Which key.
        key: EntryKey,
        /// Number of the held update.
        from: u64,
        /// Number of the ask: goes back with the answer.
        ask: u64,
        /// What its transform must read.
        head: Head,
    },
    /// A message of a topic that the VM is subscribed to.
    Message {
        /// About what.
        topic: Topic,
        /// What it says.
        payload: Payload,
        /// When it was published, by the publisher's wall clock.
        sent: Timestamp,
    },
}

type Wake = Box<dyn Fn() + Send + Sync>;

/// The inbox of one VM.
#[derive(Default)]
pub struct Inbox {
    filled: AtomicBool,
    closed: AtomicBool,
    events: Mutex<Vec<VmEvent>>,
    wake: OnceLock<Wake>,
}

impl Inbox {
    /// Is there anything? One load.
    #[inline]
    pub fn is_filled(&self) -> bool {
        self.filled.load(Ordering::Acquire)
    }

    /// Moves everything that has arrived to `events`, in order of arrival.
    pub fn take(&self, events: &mut Vec<VmEvent>) {
        if self.filled.swap(false, Ordering::AcqRel) {
            events.append(&mut self.events.lock());
        }
    }

    /// Has `wake` called, from any thread, when something arrives in an empty inbox. The first one set stays.
    pub fn set_wake(&self, wake: impl Fn() + Send + Sync + 'static) {
        let _ = self.wake.set(Box::new(wake));
    }

    pub(crate) fn push(&self, event: VmEvent) {
        if self.closed.load(Ordering::Acquire) {
            return;
        }
        self.events.lock().push(event);
        if !self.filled.swap(true, Ordering::AcqRel)
            && let Some(wake) = self.wake.get()
            && catch_unwind(AssertUnwindSafe(wake)).is_err()
        {
            // The host's function runs on our threads: its panic must not take an actor down.
            tracing::error!(target: TRACE_CALLS, "the host's wake-up function panicked");
        }
    }

    /// As [`Inbox::push`], for what may be lost; `false` if it was, because nobody has looked for long.
    pub(crate) fn push_if_read(&self, event: VmEvent) -> bool {
        let has_room = self.events.lock().len() < INBOX_EVENTS_BEFORE_LOSS;
        if has_room {
            self.push(event);
        }
        has_room
    }

    /// Nobody will look again.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.events.lock().clear();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("filled", &self.filled).field("closed", &self.closed).finish_non_exhaustive()
    }
}
