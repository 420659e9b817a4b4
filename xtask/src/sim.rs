//! `cargo xtask sim`: the ownership protocol as a model, in every state that it can reach.
//!
//! Owns: the options, and that the model is built optimized. Does not own: the model, the search and the verdict;
//! `clawstore-sim` does.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use crate::shell::{cargo, run as run_command, target_dir};

const PROGRAM: &str = "clawstore-sim";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only the protocol with this rule broken.
    #[arg(long)]
    mutant: Option<String>,
    /// Only the broken protocols, each in turn.
    #[arg(long)]
    all_mutants: bool,
    /// Print the shortest way to what each broken protocol does.
    #[arg(long)]
    trace: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    run_command(&mut cargo(&["build", "--release", "--package", PROGRAM]))?;
    run_command(Command::new(target_dir()?.join("release").join(PROGRAM)).args(arguments(options)))
}

fn arguments(options: &Options) -> Vec<OsString> {
    let mut arguments = Vec::new();
    if let Some(mutant) = &options.mutant {
        arguments.extend(["--mutant".into(), mutant.into()]);
    }
    let flags = [("--all-mutants", options.all_mutants), ("--trace", options.trace)];
    arguments.extend(flags.iter().filter(|(_, is_on)| *is_on).map(|(flag, _)| flag.into()));
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_passed_on() {
        assert!(arguments(&Options { mutant: None, all_mutants: false, trace: false }).is_empty());
        let all = Options { mutant: Some("no-checks".into()), all_mutants: true, trace: true };
        assert_eq!(arguments(&all), ["--mutant", "no-checks", "--all-mutants", "--trace"]);
    }
}
