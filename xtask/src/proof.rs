//! `cargo xtask proof`: a short form of everything that `docs/PROOF.md` tells of.
//!
//! Owns: which parts are run, for how long, and the table of how they ended. Does not own: the parts: the model and the simulation
//! (`clawstore-sim`), real processes under faults (`clawstore-chaos`).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::loadgen;
use crate::shell::{cargo, describe, run as run_command, step, target_dir};

const SIMULATION: &str = "clawstore-sim";
const CHAOS: &str = "clawstore-chaos";
/// Simulated runs. Each seed of this has its own.
const SEEDS: u64 = 2_000;
/// What a run of faults says when it has found something, and not only failed.
const FOUND: &str = "things are WRONG";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Of the faults and the simulated servers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// One part.
struct Part {
    name: &'static str,
    program: &'static str,
    arguments: String,
    /// Something is broken on purpose, and must be found.
    is_broken: bool,
}

fn parts(seed: u64) -> Vec<Part> {
    let good = |name, program, arguments: String| Part { name, program, arguments, is_broken: false };
    let chaos = |more: &str| format!("--db postgres --servers 3 --seconds 2 --seed {seed} {more}");
    let broken = |name, more: &str| Part { name, program: CHAOS, arguments: chaos(more), is_broken: true };
    let seeds = format!("run --seeds {}..{}", seed * SEEDS, (seed + 1) * SEEDS);
    vec![
        good("the protocol, every state of a small model", SIMULATION, "--small".into()),
        good("2,000 simulated runs of three servers", SIMULATION, seeds),
        good("each rule broken in simulated runs: found", SIMULATION, "mutants".into()),
        good("three servers, each fault once", CHAOS, chaos("--fault all --rounds 1")),
        good("a standby that lacks writes: reported", CHAOS, chaos("--fault loss --rounds 1")),
        broken("no fences: found", "--mutant unfenced --rounds 20"),
        broken("what was sent counts as failed: found", "--mutant sent-is-failed --rounds 20"),
    ]
}

pub(crate) fn run(options: &Options) -> Result<()> {
    loadgen::build()?;
    run_command(&mut cargo(&["build", "--release", "--package", SIMULATION]))?;
    let (target, mut lines, mut total) = (target_dir()?.join("release"), Vec::new(), Duration::ZERO);
    let parts = parts(options.seed);
    for part in &parts {
        let took = step(part.name, || play(part, &target))?;
        total += took;
        lines.push(format!("{:<45} {:>6.1} s  as it should be", part.name, took.as_secs_f64()));
    }
    println!("\n{}\n{} parts in {:.0} s", lines.join("\n"), parts.len(), total.as_secs_f64());
    Ok(())
}

fn play(part: &Part, target: &Path) -> Result<()> {
    let program: PathBuf = target.join(part.program);
    let mut command = Command::new(program);
    command.args(part.arguments.split(' '));
    println!("    {}", describe(&command));
    if !part.is_broken {
        return run_command(&mut command);
    }
    let output = command.stderr(Stdio::piped()).stdout(Stdio::inherit()).output();
    let output = output.with_context(|| format!("{} did not start", part.program))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    print!("    {complaint}");
    ensure!(!output.status.success() && complaint.contains(FOUND), "what is broken was not found");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_broken_must_be_found_and_not_only_fail() {
        let part =
            |arguments: &str| Part { name: "a part", program: "sh", arguments: arguments.to_owned(), is_broken: true };
        let bin = Path::new("/bin");
        assert!(play(&part("-c false"), bin).is_err(), "it failed, and found nothing");
        assert!(play(&part("-c true"), bin).is_err());
    }

    #[test]
    fn every_kind_of_evidence_is_there() {
        let parts = parts(3);
        assert!(parts.iter().any(|part| part.arguments.contains("--seeds 6000..8000")));
        assert!(parts.iter().filter(|part| part.is_broken).count() >= 2);
        assert!(parts.iter().filter(|part| part.program == CHAOS).all(|part| part.arguments.contains("--seed 3")));
    }
}
