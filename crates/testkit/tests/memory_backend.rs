//! The memory backend passes the suite, and the gate in front of it passes it too when told nothing.

use std::sync::Arc;

use clawstore_testkit::conformance::Subject;
use clawstore_testkit::conformance::leases::Shared;
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

fn shared() -> Subject {
    let backend = MemoryBackend::shared();
    Subject::new(Arc::new(backend.clone()), backend)
}

fn of_two_processes() -> Shared {
    let backend = MemoryBackend::shared();
    Shared::new([Arc::new(backend.clone()), Arc::new(backend)], ())
}

mod with_leases {
    clawstore_testkit::backend_conformance!(super::shared());
}

mod between_processes {
    clawstore_testkit::lease_conformance!(super::of_two_processes());
}
