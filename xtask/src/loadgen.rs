//! Building and starting the binaries of `crates/loadgen`.
//!
//! Owns: that they are built optimized, all of them (one starts others as its victims). Does not own: what they do or
//! print.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use crate::shell::{cargo, run, target_dir};

const PACKAGE: &str = "clawstore-loadgen";

/// Builds the package.
pub(crate) fn build() -> Result<()> {
    run(&mut cargo(&["build", "--release", "--package", PACKAGE, "--bins"]))
}

/// Builds the package and runs one of its binaries where the caller stands, output as it comes.
pub(crate) fn start(binary: &str, arguments: &[OsString]) -> Result<()> {
    build()?;
    let program = target_dir()?.join("release").join(binary);
    // Files that the caller names are meant from where the caller is: no change of directory.
    run(Command::new(program).args(arguments))
}
