//! `cargo xtask bench`: figures beside their baselines.
//!
//! Owns: the options. Does not own: the measurements and their report; `clawstore-bench` makes both.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;

use crate::loadgen;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Which backend: sqlite or postgres.
    #[arg(long, default_value = "sqlite")]
    db: String,
    /// Instead of all other figures: pages of a store of a million keys beside one of ten thousand.
    #[arg(long)]
    lists: bool,
    /// Shorter runs: for seeing that everything works, not for comparing.
    #[arg(long)]
    quick: bool,
    /// Also write the figures to a file: a list of {name, value, unit, baseline, ratio}.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    loadgen::start("clawstore-bench", &arguments(options))
}

fn arguments(options: &Options) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["--db".into(), (&options.db).into()];
    if options.lists {
        arguments.push("--lists".into());
    }
    if options.quick {
        arguments.push("--quick".into());
    }
    if let Some(file) = &options.json {
        arguments.extend(["--json".into(), file.into()]);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_passed_on() {
        let plain = arguments(&Options { db: "sqlite".into(), lists: false, quick: false, json: None });
        assert_eq!(plain, ["--db", "sqlite"]);
        let all = Options { db: "postgres".into(), lists: true, quick: true, json: Some("out.json".into()) };
        assert_eq!(arguments(&all), ["--db", "postgres", "--lists", "--quick", "--json", "out.json"]);
    }
}
