//! The SQLite backend on real files, in real processes.
//!
//! Tests that need another user, a small disk or a limit of their own run a part of themselves in a child process:
//! the `#[ignore]`d tests named `child_*`, which do nothing unless their parent starts them.

mod conformance;
mod durability;
mod faults;
mod files;
mod history;
mod old_files;
mod support;
