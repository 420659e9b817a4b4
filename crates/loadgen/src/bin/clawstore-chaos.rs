//! `clawstore-chaos`: kills a busy store again and again, and checks what is left.
//!
//! Owns: the command line, and its two hidden commands, by which the program starts its own victims. Does not own: what
//! they do (`clawstore_loadgen::chaos`).

use anyhow::Result;
use clap::{Parser, Subcommand};
use clawstore_loadgen::chaos::{ChaosOptions, run, verifier, victim};

/// The allocator of the `clawstore` program, for both sides of every figure.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(
    about = "Kills a busy embedded store with kill -9 and checks what is left",
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
    #[command(hide = true)]
    Victim(victim::VictimOptions),
    #[command(hide = true)]
    Verifier(verifier::VerifierOptions),
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.part {
        None => run(&arguments.options),
        Some(Part::Victim(options)) => victim::run(&options),
        Some(Part::Verifier(options)) => verifier::run(&options),
    }
}
