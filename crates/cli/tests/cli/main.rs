//! The program as users start it: real processes, real files, real signals.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is how a test fails")]

mod support;

mod bad_scripts;
mod examples;
mod exit_codes;
mod game;
mod import;
mod inspect;
mod locks;
mod postgres;
mod shutdown;
mod simulated;
mod specs;
mod tycoon;
