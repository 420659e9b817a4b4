//! `clawstore-bench`: what the store does in a second, beside what the machine could do.
//!
//! Owns: the command line, and its hidden command, by which the program starts itself to be measured. Does not own: the
//! figures (`clawstore_loadgen::bench`).

use anyhow::Result;
use clap::{Parser, Subcommand};
use clawstore_loadgen::bench::{BenchOptions, memory, run};

/// The allocator of the `clawstore` program, for both sides of every figure.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(about = "Measures the embedded store beside bare SQLite", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    options: BenchOptions,
}

#[derive(Debug, Subcommand)]
enum Part {
    #[command(hide = true)]
    Memory(memory::MemoryOptions),
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.part {
        None => run(&arguments.options),
        Some(Part::Memory(options)) => memory::child(&options),
    }
}
