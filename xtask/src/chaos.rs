//! `cargo xtask chaos`: faults under load, again and again.
//!
//! Owns: the options. Does not own: the rounds, the journal of answers and the verdict; `clawstore-chaos` does.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::loadgen;

/// Scenarios that need no server.
const FOR_BOTH: &str = "flood";

#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Options {
    /// Which backend: sqlite or postgres. Default: sqlite; with --servers, postgres.
    #[arg(long)]
    pub(crate) db: Option<String>,
    /// What is done, parted by commas: process, postmaster, connection or all; with --servers also freeze, hole, slow, promotion,
    /// loss. Default: process, or what a mutant is shown by.
    #[arg(long)]
    pub(crate) fault: Option<String>,
    /// How many rounds of each fault. Default: 20.
    #[arg(long)]
    pub(crate) rounds: Option<u32>,
    /// Repeat the choices of an earlier run; it printed its seed.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// So many server processes on one database.
    #[arg(long)]
    pub(crate) servers: Option<u32>,
    /// Break the store or its database, to see that the run reports it: unfenced, ack-before-commit, batch-done-only,
    /// lanes-go-with-the-dead, unknown-by-reading, rerun-before-settling, sent-is-failed, speculative-reads, async-standby.
    #[arg(long)]
    pub(crate) mutant: Option<String>,
    /// With --servers: how many keys they share. Default: 2,000.
    #[arg(long, requires = "servers")]
    keys: Option<u32>,
    /// With --servers: how many calls in a hundred are on a few hot keys. Default: 10.
    #[arg(long, requires = "servers")]
    hot: Option<u32>,
    /// With --servers: for how long a round's load goes on at least. With --scenario: how long it lasts. In seconds.
    #[arg(long)]
    pub(crate) seconds: Option<u32>,
    /// With --scenario: how much of it.
    #[arg(long, requires = "scenario")]
    count: Option<u32>,
    /// With --servers: write chaos.txt and chaos.json into this directory.
    #[arg(long, requires = "servers")]
    report: Option<PathBuf>,
    /// Instead of rounds: one of two-writers, takeover, zombie, crowd, outage, twenty, flood, upgrade, counter, hand-over, beats. All
    /// but flood need Postgres.
    #[arg(long, conflicts_with_all = ["fault", "rounds", "servers", "mutant"])]
    scenario: Option<String>,
}

impl Options {
    fn db(&self) -> &str {
        let usual = if self.servers.is_some() { "postgres" } else { "sqlite" };
        self.db.as_deref().unwrap_or(usual)
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let is_for_both = options.servers.is_none() && options.scenario.as_deref().is_none_or(|name| name == FOR_BOTH);
    ensure!(is_for_both || options.db() == "postgres", "several processes need --db postgres");
    loadgen::start("clawstore-chaos", &arguments(options))
}

pub(crate) fn arguments(options: &Options) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = match &options.scenario {
        Some(name) => vec!["scenario".into(), name.into(), "--db".into(), options.db().into()],
        None => vec!["--db".into(), options.db().into()],
    };
    let number = |number: Option<u32>| number.map(|number| number.to_string());
    let named = [
        ("--servers", number(options.servers)),
        ("--fault", options.fault.clone()),
        ("--mutant", options.mutant.clone()),
        ("--rounds", number(options.rounds)),
        ("--keys", number(options.keys)),
        ("--hot", number(options.hot)),
        ("--seconds", number(options.seconds)),
        ("--count", number(options.count)),
        ("--seed", options.seed.map(|seed| seed.to_string())),
    ];
    for (name, value) in named {
        arguments.extend(value.into_iter().flat_map(|value| [OsString::from(name), value.into()]));
    }
    arguments.extend(options.report.iter().flat_map(|dir| ["--report".into(), dir.into()]));
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_passed_on() {
        assert_eq!(arguments(&Options::default()), ["--db", "sqlite"]);
        let some =
            Options { db: Some("postgres".into()), fault: Some("all".into()), rounds: Some(3), ..Options::default() };
        assert_eq!(arguments(&some), ["--db", "postgres", "--fault", "all", "--rounds", "3"]);
        let scenario = Options { scenario: Some("zombie".into()), seed: Some(7), ..Options::default() };
        assert_eq!(arguments(&scenario), ["scenario", "zombie", "--db", "sqlite", "--seed", "7"]);
        assert!(run(&scenario).is_err(), "the embedded store has one process");
        let servers = Options {
            servers: Some(3),
            mutant: Some("unfenced".into()),
            report: Some("out".into()),
            ..Options::default()
        };
        assert_eq!(
            arguments(&servers),
            ["--db", "postgres", "--servers", "3", "--mutant", "unfenced", "--report", "out"]
        );
    }
}
