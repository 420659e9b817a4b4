//! `clawstore-sim run` and `clawstore-sim mutants`: the simulation over many seeds.
//!
//! Owns: options, seeds shared out among threads, what is printed, the verdict. Does not own: a run (`simulation`).

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clawstore_core::mutant::Mutant;
use clawstore_sim::simulation::{Options, Report, run};

/// A failing run is printed with so many of its findings.
const FINDINGS_MAX: usize = 12;
/// So many failing seeds are printed.
const FAILURES_MAX: usize = 10;

#[derive(Debug, clap::Args)]
pub(crate) struct RunOptions {
    /// Which seeds: `A..B` is A to B - 1.
    #[arg(long, value_parser = parse_seeds)]
    seeds: Range<u64>,
    #[command(flatten)]
    shape: Shape,
    /// With this rule broken.
    #[arg(long, value_parser = parse_mutant)]
    mutant: Option<Mutant>,
    /// Print the log of each run.
    #[arg(long)]
    trace: bool,
}

#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Shape {
    /// Servers of a run.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=16))]
    servers: u16,
    /// Calls of a run, at least.
    #[arg(long, default_value_t = 500)]
    calls: usize,
    /// Faults of a run, at least.
    #[arg(long, default_value_t = 5)]
    faults: usize,
    /// Threads.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
}

#[derive(Debug, clap::Args)]
pub(crate) struct MutantOptions {
    /// Seeds that are tried with each mutant, at most.
    #[arg(long, default_value_t = 2_000)]
    seeds_max: u64,
    /// Fail if fewer are caught.
    #[arg(long, default_value_t = 9)]
    caught_min: usize,
    #[command(flatten)]
    shape: Shape,
}

impl Shape {
    fn options(self, mutant: Option<Mutant>) -> Options {
        let Self { servers, calls, faults, .. } = self;
        Options { servers: servers.into(), calls, faults, mutant, keeps_lines: false }
    }
}

pub(crate) fn parse_seeds(text: &str) -> Result<Range<u64>> {
    let (from, to) = match text.split_once("..") {
        Some((from, to)) => (from.parse()?, to.parse()?),
        None => (0, text.parse().context("a number of seeds, or A..B")?),
    };
    if from >= to {
        bail!("there is no seed in {from}..{to}");
    }
    Ok(from..to)
}

fn parse_mutant(name: &str) -> Result<Mutant> {
    let names = || Mutant::ALL.map(Mutant::name).join(", ");
    Mutant::parse(name).with_context(|| format!("there are {}", names()))
}

/// # Errors
/// If a run shows what should not be.
pub(crate) fn run_seeds(arguments: &RunOptions) -> Result<()> {
    let options = arguments.shape.options(arguments.mutant);
    if arguments.trace {
        return trace(arguments.seeds.clone(), options);
    }
    let mut totals = Totals::default();
    let began = now();
    each_seed(arguments.seeds.clone(), arguments.shape.jobs, options, |report| {
        totals.add(&report);
        if !report.broken.is_empty() && totals.failures <= FAILURES_MAX {
            print_failure(&report, options);
        }
        if totals.runs.is_multiple_of(1_000) {
            println!("{} seeds, {} failures, {:.0} s", totals.runs, totals.failures, began.elapsed().as_secs_f64());
        }
        true
    });
    let seconds = began.elapsed().as_secs_f64();
    let Totals { runs, failures, calls, acked, failed, unknown, lost, faults, calls_min, faults_min } = totals;
    println!(
        "\n{runs} seeds in {seconds:.0} s: {calls} calls (at least {calls_min} each): {acked} OK, {failed} FAIL, {unknown} \
         UNKNOWN, {lost} lost with their server; {faults} faults (at least {faults_min} each)"
    );
    if failures > 0 {
        bail!("{failures} of {runs} seeds show what should not be");
    }
    println!("NO FAILURES");
    Ok(())
}

/// One after the other, with their logs.
fn trace(seeds: Range<u64>, options: Options) -> Result<()> {
    let mut failures = 0;
    for seed in seeds {
        let (report, lines) = run(seed, Options { keeps_lines: true, ..options });
        for line in lines {
            println!("{line}");
        }
        println!("{report}");
        if !report.broken.is_empty() {
            failures += 1;
            print_failure(&report, options);
        }
    }
    if failures > 0 {
        bail!("{failures} seeds show what should not be");
    }
    Ok(())
}

/// # Errors
/// If fewer mutants are caught than wanted.
pub(crate) fn run_mutants(arguments: &MutantOptions) -> Result<()> {
    let began = now();
    let mut caught = 0;
    for mutant in Mutant::ALL {
        let options = arguments.shape.options(Some(mutant));
        let since = now();
        let mut finding = None;
        let mut runs = 0_u64;
        each_seed(0..arguments.seeds_max, arguments.shape.jobs, options, |report| {
            runs += 1;
            if finding.is_none() {
                // For its own sake: the same run with the rule kept is good.
                let kept = || run(report.seed, Options { mutant: None, ..options }).0.broken.is_empty();
                let text = report.broken.first().filter(|_| kept());
                finding = text.map(|text| (report.seed, text.clone()));
            }
            finding.is_none()
        });
        let seconds = since.elapsed().as_secs_f64();
        let name = mutant.name();
        match finding {
            Some((seed, text)) => {
                caught += 1;
                println!("{name:<24} caught after {runs:>4} seeds, {seconds:>5.1} s: seed {seed}: {text}");
            }
            None => println!("{name:<24} NOT CAUGHT in {runs} seeds, {seconds:.1} s"),
        }
    }
    println!("\n{caught} of {} caught in {:.0} s", Mutant::ALL.len(), began.elapsed().as_secs_f64());
    if caught < arguments.caught_min {
        bail!("at least {} should have been caught", arguments.caught_min);
    }
    Ok(())
}

/// Runs seeds on threads; `each` is told of every run, and says whether more are wanted.
fn each_seed(seeds: Range<u64>, jobs: u16, options: Options, mut each: impl FnMut(Report) -> bool) {
    let (next, is_over) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let (sender, reports) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            let sender = sender.clone();
            scope.spawn(|| {
                let sender = sender;
                while !is_over.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || sender.send(run(seed, options).0).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for report in reports {
            if !each(report) {
                is_over.store(true, Ordering::Relaxed);
            }
        }
    });
}

fn print_failure(report: &Report, options: Options) {
    println!("\nFAILURE: {report}");
    for finding in report.broken.iter().take(FINDINGS_MAX) {
        println!("    {finding}");
    }
    if report.broken.len() > FINDINGS_MAX {
        println!("    and {} more", report.broken.len() - FINDINGS_MAX);
    }
    println!("    again: {}", report.replay_command(options));
}

#[derive(Debug, Default)]
struct Totals {
    runs: u64,
    failures: usize,
    calls: usize,
    acked: usize,
    failed: usize,
    unknown: usize,
    lost: usize,
    faults: usize,
    calls_min: usize,
    faults_min: usize,
}

impl Totals {
    fn add(&mut self, report: &Report) {
        let is_first = self.runs == 0;
        self.runs += 1;
        self.failures += usize::from(!report.broken.is_empty());
        self.calls += report.calls;
        self.acked += report.acked;
        self.failed += report.failed;
        self.unknown += report.unknown;
        self.lost += report.lost;
        self.faults += report.faults;
        self.calls_min = if is_first { report.calls } else { self.calls_min.min(report.calls) };
        self.faults_min = if is_first { report.faults } else { self.faults_min.min(report.faults) };
    }
}

#[expect(clippy::disallowed_methods, reason = "times the runs for the person who waits for them")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_range_or_a_number() {
        assert_eq!((parse_seeds("7..9").expect("a range"), parse_seeds("3").expect("a number")), (7..9, 0..3));
        for wrong in ["", "..", "3..3", "9..7", "-1", "x"] {
            assert!(parse_seeds(wrong).is_err(), "{wrong}");
        }
    }
}
