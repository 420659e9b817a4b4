//! The memory backend passes the suite, and the gate in front of it passes it too when told nothing.

use std::sync::Arc;

use clawstore_testkit::conformance::Subject;
use clawstore_testkit::{GatedBackend, MemoryBackend};

fn memory() -> Subject {
    let backend = MemoryBackend::new();
    Subject::new(Arc::new(backend.clone()), backend)
}

fn gated() -> Subject {
    let backend = MemoryBackend::new();
    Subject::new(Arc::new(GatedBackend::new(Arc::new(backend.clone()))), backend)
}

mod direct {
    clawstore_testkit::backend_conformance!(super::memory());
}

mod through_the_gate {
    clawstore_testkit::backend_conformance!(super::gated());
}
