//! `cargo xtask sim`: the ownership protocol as a model, in every state that it can reach; with `--seeds`, the product's rules in a
//! simulated world.
//!
//! Owns: the options, and that the program is built optimized. Does not own: the model, the search, the simulation and the verdict;
//! `clawstore-sim` does.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use crate::shell::{cargo, run as run_command, target_dir};

const PROGRAM: &str = "clawstore-sim";

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Only with this rule broken.
    #[arg(long)]
    mutant: Option<String>,
    /// Only with each rule broken in turn.
    #[arg(long, conflicts_with = "mutant")]
    all_mutants: bool,
    /// Print the shortest way to what each broken protocol does; with `--seeds`, the log of each run.
    #[arg(long)]
    trace: bool,
    /// Run the simulation with so many seeds, or with `A..B`; with `--all-mutants`, at most so many for each.
    #[arg(long)]
    seeds: Option<String>,
    /// Servers of a run.
    #[arg(long, requires = "seeds")]
    servers: Option<u16>,
    /// Calls of a run, at least.
    #[arg(long, requires = "seeds")]
    calls: Option<usize>,
    /// Faults of a run, at least.
    #[arg(long, requires = "seeds")]
    faults: Option<usize>,
    /// Threads.
    #[arg(long, requires = "seeds")]
    jobs: Option<u16>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    run_command(&mut cargo(&["build", "--release", "--package", PROGRAM]))?;
    run_command(Command::new(target_dir()?.join("release").join(PROGRAM)).args(arguments(options)))
}

fn arguments(options: &Options) -> Vec<OsString> {
    let Options { mutant, all_mutants, trace, seeds, servers, calls, faults, jobs } = options;
    let mut arguments: Vec<OsString> = Vec::new();
    let mut add = |texts: &[&str]| arguments.extend(texts.iter().map(OsString::from));
    match (seeds, all_mutants) {
        (Some(seeds), false) => add(&["run", "--seeds", seeds]),
        (Some(seeds), true) => add(&["mutants", "--seeds-max", seeds]),
        (None, true) => add(&["--all-mutants"]),
        (None, false) => {}
    }
    let numbers = [
        ("--servers", servers.map(usize::from)),
        ("--calls", *calls),
        ("--faults", *faults),
        ("--jobs", jobs.map(usize::from)),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            add(&[name, &number.to_string()]);
        }
    }
    if let Some(mutant) = mutant {
        add(&["--mutant", mutant]);
    }
    if *trace {
        add(&["--trace"]);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_model_are_passed_on() {
        assert!(arguments(&Options::default()).is_empty());
        let all = Options { all_mutants: true, trace: true, ..Options::default() };
        assert_eq!(arguments(&all), ["--all-mutants", "--trace"]);
        let one = Options { mutant: Some("no-checks".into()), ..Options::default() };
        assert_eq!(arguments(&one), ["--mutant", "no-checks"]);
    }

    #[test]
    fn with_seeds_it_is_the_simulation() {
        let (seeds, mutant) = (Some("7..9".into()), Some("no-checks".into()));
        let run = Options { servers: Some(4), mutant, trace: true, seeds, ..Options::default() };
        let expected = ["run", "--seeds", "7..9", "--servers", "4", "--mutant", "no-checks", "--trace"];
        assert_eq!(arguments(&run), expected);
        let seeds_max = Some("2000".into());
        let mutants = Options { all_mutants: true, calls: Some(600), seeds: seeds_max, ..Options::default() };
        assert_eq!(arguments(&mutants), ["mutants", "--seeds-max", "2000", "--calls", "600"]);
    }
}
