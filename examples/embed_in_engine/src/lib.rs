//! A small game engine with Clawstore in it.
//!
//! Owns: what the demo and the tests share: game instances, their manager, and the part that web handlers call. Does not
//! own: anything of the store; this is what an engine writes around it.

mod instance;
mod manager;
mod web;

pub use instance::Instance;
pub use manager::GameManager;
pub use web::{Profile, Score, give_coins, leaderboard};
