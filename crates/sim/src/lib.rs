//! The ownership protocol as a model, checked in every state that it can reach; and the product's own rules in a simulated world.
//!
//! Owns: the model of one key, two servers and a database with a standby (`state`, `server`, `database`, `faults`);
//! what must hold in each state (`invariants`); the search (`checker`); configurations (`config`). And the simulation
//! (`simulation`), which shares nothing with the model. Does not own: the product. The model is code of its own, written from
//! `ownership-protocol.md`; which part of the product keeps which of its rules is in `docs/PROOF.md`. Ships nowhere.

pub mod config;

pub mod state;

mod form;

mod server;

mod database;

mod faults;

pub mod step;

pub mod invariants;

pub mod checker;

pub mod simulation;
