//! `cargo xtask chaos`: faults under load, again and again.
//!
//! Owns: the options. Does not own: the rounds, the journal of answers and the verdict; `clawstore-chaos` does.

use std::ffi::OsString;

use anyhow::{Result, ensure};

use crate::loadgen;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Which backend: sqlite or postgres.
    #[arg(long, default_value = "sqlite")]
    pub(crate) db: String,
    /// What is done: process, postmaster, connection or all. Default: process.
    #[arg(long)]
    fault: Option<String>,
    /// How many rounds of each fault. Default: 20.
    #[arg(long)]
    pub(crate) rounds: Option<u32>,
    /// Repeat the choices of an earlier run; it printed its seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Instead of rounds: one of two-writers, takeover, zombie, crowd, outage, twenty, flood, upgrade. All but flood need
    /// Postgres.
    #[arg(long, conflicts_with_all = ["fault", "rounds"])]
    scenario: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let is_for_both = options.scenario.as_deref().is_none_or(|name| name == "flood");
    ensure!(is_for_both || options.db == "postgres", "this scenario needs --db postgres");
    loadgen::start("clawstore-chaos", &arguments(options))
}

fn arguments(options: &Options) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = match &options.scenario {
        Some(name) => vec!["scenario".into(), name.into(), "--db".into(), (&options.db).into()],
        None => vec!["--db".into(), (&options.db).into()],
    };
    let rounds = options.rounds.map(|rounds| rounds.to_string());
    let seed = options.seed.map(|seed| seed.to_string());
    for (name, value) in [("--fault", &options.fault), ("--rounds", &rounds), ("--seed", &seed)] {
        if let Some(value) = value {
            arguments.extend([name.into(), value.into()]);
        }
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options { db: "sqlite".into(), fault: None, rounds: None, seed: None, scenario: None }
    }

    #[test]
    fn options_are_passed_on() {
        assert_eq!(arguments(&options()), ["--db", "sqlite"]);
        let some = Options { db: "postgres".into(), fault: Some("all".into()), rounds: Some(3), ..options() };
        assert_eq!(arguments(&some), ["--db", "postgres", "--fault", "all", "--rounds", "3"]);
        let scenario = Options { scenario: Some("zombie".into()), seed: Some(7), ..options() };
        assert_eq!(arguments(&scenario), ["scenario", "zombie", "--db", "sqlite", "--seed", "7"]);
        assert!(run(&scenario).is_err(), "the embedded store has one process");
    }
}
