//! `clawstore-chaos`: makes things fail under a busy store, again and again, and checks what is left.
//!
//! Owns: the command line, and its hidden commands, by which the program starts its own victims. Does not own: what
//! they do (`clawstore_loadgen::chaos` and `scenario`).

use anyhow::Result;
use clap::{Parser, Subcommand};
use clawstore_loadgen::chaos::{ChaosOptions, run, verifier, victim};
use clawstore_loadgen::scenario;

/// The allocator of the `clawstore` program, for both sides of every figure.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(
    about = "Makes things fail under a busy store and checks what is left",
    args_conflicts_with_subcommands = true
)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    options: ChaosOptions,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Several processes on one database, tried in one way.
    Scenario(scenario::ScenarioOptions),
    #[command(hide = true)]
    Worker(scenario::WorkerOptions),
    #[command(hide = true)]
    Victim(victim::VictimOptions),
    #[command(hide = true)]
    Verifier(verifier::VerifierOptions),
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.part {
        None => run(&arguments.options),
        Some(Part::Scenario(options)) => scenario::run(&options),
        Some(Part::Worker(options)) => scenario::work(&options),
        Some(Part::Victim(options)) => victim::run(&options),
        Some(Part::Verifier(options)) => verifier::run(&options),
    }
}
