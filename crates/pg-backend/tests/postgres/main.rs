//! The Postgres backend on a real server, each test in a database of its own.
//!
//! The server is the one that `cargo xtask test` starts. Tests that need other settings or roles of the server are in
//! `tests/clusters.rs`.
#![allow(clippy::unwrap_used, reason = "a test")]

mod commits;
mod conformance;
mod connections;
mod games;
mod hand_over;
mod history;
mod leases;
mod messages;
mod migrations;
mod query_data;
mod support;
mod tables;
