//! `cargo xtask chaos`: kill -9, again and again.
//!
//! Owns: the options. Does not own: the rounds, the journal of answers and the verdict; `clawstore-chaos` does.

use std::ffi::OsString;

use anyhow::Result;

use crate::loadgen;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many times to kill.
    #[arg(long, default_value_t = 20)]
    pub(crate) rounds: u32,
    /// Repeat the choices of an earlier run; it printed its seed.
    #[arg(long)]
    seed: Option<u64>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    loadgen::start("clawstore-chaos", &arguments(options))
}

fn arguments(options: &Options) -> Vec<OsString> {
    let mut arguments = vec!["--rounds".into(), options.rounds.to_string().into()];
    if let Some(seed) = options.seed {
        arguments.extend(["--seed".into(), seed.to_string().into()]);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_passed_on() {
        assert_eq!(arguments(&Options { rounds: 20, seed: None }), ["--rounds", "20"]);
        assert_eq!(arguments(&Options { rounds: 3, seed: Some(7) }), ["--rounds", "3", "--seed", "7"]);
    }
}
