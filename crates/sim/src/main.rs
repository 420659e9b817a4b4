//! `clawstore-sim`: explores the model, or runs the simulation, and says what it found.
//!
//! Owns: the command line; of the model, the report and the verdict. Does not own: the model or the search, the simulation
//! (`runs` prints what that found).
#![allow(clippy::print_stdout, reason = "a command for people: printing is its work")]

mod runs;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Parser;
use clawstore_core::mutant::Mutant;
use clawstore_sim::checker::explore;
use clawstore_sim::config::Config;

#[derive(Debug, Parser)]
#[command(name = "clawstore-sim", about = "Checks the ownership protocol in every state that it can reach")]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    model: ModelOptions,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run the simulation with these seeds.
    Run(runs::RunOptions),
    /// Run the simulation with each rule broken, until that is noticed.
    Mutants(runs::MutantOptions),
}

#[derive(Debug, clap::Args)]
struct ModelOptions {
    /// Only the protocol with this rule broken.
    #[arg(long, conflicts_with_all = ["all_mutants", "small"])]
    mutant: Option<String>,
    /// Only the broken protocols, each in turn.
    #[arg(long, conflicts_with = "small")]
    all_mutants: bool,
    /// Only the small configuration.
    #[arg(long)]
    small: bool,
    /// Print the shortest way to what each broken protocol does.
    #[arg(long)]
    trace: bool,
    /// Give up, and fail, after this many states.
    #[arg(long, default_value_t = 100_000_000)]
    states_max: u32,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.command {
        None => explore_all(&arguments.model),
        Some(Command::Run(options)) => runs::run_seeds(options),
        Some(Command::Mutants(options)) => runs::run_mutants(options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn explore_all(arguments: &ModelOptions) -> Result<()> {
    let configs = configs(arguments)?;
    let failed = configs.iter().filter(|config| !run(config, arguments)).count();
    if failed > 0 {
        bail!("{failed} of {} models are not as they should be", configs.len())
    }
    println!("\nALL MODELS AS THEY SHOULD BE: {}", configs.len());
    Ok(())
}

fn configs(arguments: &ModelOptions) -> Result<Vec<Config>> {
    if let Some(name) = &arguments.mutant {
        let Some(mutant) = Mutant::parse(name) else {
            let names: Vec<_> = Mutant::ALL.iter().map(|mutant| mutant.name()).collect();
            bail!("no mutant is called {name:?}; there are {}", names.join(", "));
        };
        return Ok(vec![Config::broken(mutant)]);
    }
    let mut configs = match (arguments.all_mutants, arguments.small) {
        (true, _) => Vec::new(),
        (_, true) => return Ok(vec![Config::small()]),
        _ => vec![
            Config::full(),
            Config::storm(),
            Config::takeover(),
            Config::three(),
            Config::only_fence(),
            Config::only_version(),
        ],
    };
    configs.extend(Mutant::ALL.map(Config::broken));
    Ok(configs)
}

/// Explores one model. True if it is as it should be: complete without a violation, or, if it is broken, caught.
#[expect(clippy::disallowed_methods, reason = "times the search for the person who waits for it")]
fn run(config: &Config, arguments: &ModelOptions) -> bool {
    let began = Instant::now();
    let report = explore(config, arguments.states_max);
    let seconds = began.elapsed().as_secs_f64();
    let verdict = match &report.violation {
        Some(violation) => format!("{} at depth {}", violation.invariant, violation.trace.len()),
        None if report.complete => "complete, 0 violations".to_owned(),
        None => "NOT COMPLETE, 0 violations".to_owned(),
    };
    let is_good = if config.mutant.is_some() { report.violation.is_some() } else { report.complete };
    println!(
        "{:<22} {:>11} states {:>12} transitions, depth {:>2}, {seconds:>6.1} s: {verdict}{}",
        config.name,
        report.states,
        report.transitions,
        report.depth,
        if is_good { "" } else { "  <== WRONG" },
    );
    if let Some(violation) = report.violation.filter(|_| arguments.trace || config.mutant.is_none()) {
        print!("{violation}");
    }
    is_good
}
