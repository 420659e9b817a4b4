//! The program as users start it: real processes, real files, real signals.

mod support;

mod exit_codes;
mod inspect;
mod shutdown;
mod tycoon;
