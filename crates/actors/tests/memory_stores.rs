//! Memory stores in this process pass the suite.

use std::sync::Arc;

use clawstore_actors::InProcess;
use clawstore_core::limits::Limits;
use clawstore_testkit::ManualClock;
use clawstore_testkit::conformance::memory::MemorySubject;

fn in_process() -> MemorySubject {
    let clock = Arc::new(ManualClock::default());
    let stores = InProcess::new(Arc::clone(&clock) as _, Limits::Off);
    MemorySubject::new(Arc::new(stores), move |time| clock.advance(time))
}

clawstore_testkit::memory_conformance!(in_process());
