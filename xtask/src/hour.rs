//! `cargo xtask hour`: many servers and players for a simulated hour, twice.
//!
//! Owns: starting the program, timing it, and comparing the two reports. Does not own: the game (a hub on ProfileStore), the
//! simulation (`crates/cli`).

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use crate::libraries;
use crate::shell::{cargo, describe, root, run as run_command, step, target_dir};

const GAME: &str = "crates/cli/tests/libraries/games/hour.luau";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Game servers.
    #[arg(long, default_value_t = 8)]
    servers: u32,
    /// Players on each.
    #[arg(long, default_value_t = 100)]
    players: u32,
    /// Simulated minutes.
    #[arg(long, default_value_t = 60)]
    minutes: u32,
    /// Seed of both runs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What else `clawstore run` is told.
    #[arg(last = true)]
    more: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    libraries::run()?;
    run_command(&mut cargo(&["build", "--release", "--package", "clawstore-cli"]))?;
    let target = target_dir()?;
    let program = target.join("release/clawstore");
    let reports = [target.join("hour-1.json"), target.join("hour-2.json")];
    for report in &reports {
        play(options, &program, report)?;
    }
    let [first, second] = [std::fs::read(&reports[0])?, std::fs::read(&reports[1])?];
    ensure!(first == second, "two runs with seed {} gave different reports: {}", options.seed, reports[0].display());
    println!("the same report twice: {} bytes, {}", first.len(), reports[0].display());
    Ok(())
}

fn play(options: &Options, program: &Path, report: &Path) -> Result<()> {
    let seconds = options.minutes * 60;
    // Players leave before the end, so that the run ends by itself.
    let session = format!("{}..{}", seconds.saturating_sub(600).max(1), seconds.saturating_sub(15).max(1));
    let mut command = Command::new(program);
    command.current_dir(root()).args(["run", GAME, "--db", ":memory:", "--clock", "sim", "--no-status"]);
    command.args(["--servers", &options.servers.to_string(), "--players", &options.players.to_string()]);
    command.args(["--session", &session, "--seed", &options.seed.to_string(), "--latency", "10..80ms"]);
    let library = target_dir()?.join("libraries/profile-store/src");
    command.arg("--mount").arg(format!("ServerScriptService.ProfileStore={}", library.display()));
    command.arg("--report").arg(report).args(&options.more).stdout(Stdio::null());
    println!("    {}", describe(&command));
    let took = step("hour", || run_command(&mut command))?;
    println!("{} simulated minutes in {:.1} s of real time", options.minutes, took.as_secs_f64());
    Ok(())
}
