//! The project's commands: `cargo xtask <command>`.
//!
//! Owns: the command line; one module per command. Does not own: what is tested, measured or checked for losses; it
//! starts cargo and built binaries and reports how they ended. Only `tidy` looks at anything itself.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command for people: printing is its work")]

mod bench;
mod chaos;
mod hour;
mod install;
mod libraries;
mod loadgen;
mod pg;
mod proof;
mod shell;
mod sim;
mod test;
mod tidy;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Commands for working on Clawstore")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything that a change must pass, in the order that fails soonest.
    Test(test::Options),
    /// Measure against baselines taken on the same machine.
    Bench(bench::Options),
    /// Kill a server again and again and look for lost writes.
    Chaos(chaos::Options),
    /// Play a simulated hour of many servers, twice, with the same report.
    Hour(hour::Options),
    /// Fetch the published save libraries that the tests run, unless they are there.
    Libraries,
    /// A private Postgres server for work on this project.
    #[command(subcommand)]
    Pg(pg::Action),
    /// Replay a short form of what `docs/PROOF.md` tells of, in under five minutes.
    Proof(proof::Options),
    /// Check the ownership protocol in every state that a model of it can reach.
    Sim(sim::Options),
    /// Check the rules of the source tree that no compiler checks.
    Tidy,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Test(options) => test::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Chaos(options) => chaos::run(&options),
        Command::Hour(options) => hour::run(&options),
        Command::Libraries => libraries::run(),
        Command::Pg(action) => pg::run(&action),
        Command::Proof(options) => proof::run(&options),
        Command::Sim(options) => sim::run(&options),
        Command::Tidy => run_tidy(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_tidy() -> Result<()> {
    tidy::run()?;
    println!("tidy: nothing to complain about");
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_arrive_where_they_belong() {
        let parse = |line: &str| Arguments::try_parse_from(line.split(' ')).expect("parses").command;
        assert!(matches!(parse("xtask test --install"), Command::Test(options) if options.install));
        assert!(matches!(parse("xtask chaos"), Command::Chaos(options) if options.rounds.is_none()));
        let psql = parse("xtask pg psql -c x --help");
        assert!(matches!(psql, Command::Pg(pg::Action::Psql { arguments }) if arguments == ["-c", "x", "--help"]));
        assert!(Arguments::try_parse_from(["xtask", "test", "--instal"]).is_err());
    }
}
