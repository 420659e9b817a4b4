//! A small engine in the shape of Clawblox, with Clawstore in it.
//!
//! Owns: what the program, the bench and the tests share: game instances, their manager, the part that web handlers call. Does
//! not own: anything of the store; this is what an engine has around it.

mod bench;
mod crowd;
mod instance;
mod manager;
mod polling;
mod problems;
mod scheduled;
mod threads;
mod web;

pub use bench::{BenchOptions, Figures, run as bench};
pub use crowd::Crowd;
pub use instance::{Instance, Options};
pub use manager::{Departure, GameManager, Limits};
pub use polling::TICK;
pub use problems::Problems;
pub use threads::Mode;
pub use web::leaderboard;

/// The game that the program runs.
pub const LAVA_CLIMB: &str = include_str!("../games/lava_climb.luau");
