//! What tests are made of: backends that live in memory or fail on demand, a clock and entropy that tests hold in
//! their hands, and the suite that every backend must pass.
//!
//! Owns: the above. Does not own: rules, SQL. A development dependency only: nothing that ships may depend on it.
#![warn(missing_docs)]

pub mod conformance;
pub mod postgres;

mod delegate;
mod gated_backend;
mod manual_clock;
mod memory_backend;
mod message_line;
mod seeded_entropy;

pub use conformance::InspectVersions;
pub use gated_backend::GatedBackend;
pub use manual_clock::ManualClock;
pub use memory_backend::MemoryBackend;
pub use message_line::MessageLine;
pub use seeded_entropy::SeededEntropy;
