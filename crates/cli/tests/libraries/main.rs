//! Published save libraries, unmodified, in games that `clawstore run` plays.
//!
//! Owns: what each library must do here: load, save, hand over, and lose nothing. Does not own: the libraries (`cargo xtask
//! libraries` fetches them), the games that use them (`games`).
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure")]

mod data_store_2;
mod lapis;
mod played;
mod profile_service;
mod profile_store;
mod support;
