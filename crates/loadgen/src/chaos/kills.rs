//! kill -9 of the process, again and again.
//!
//! Owns: the rounds: start a victim, kill it at a random instant, look at what is stored, compare; the report and the
//! verdict. Does not own: what a store is opened and looked at with (`target`).

use std::ffi::OsString;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::calls::IN_FLIGHT_MIN;
use super::check::{self, Rule, State, Wrong};
use super::history::{Counts, History};
use super::process::{Event, Process};
use super::target::Target;
use super::{ChaosOptions, keep_evidence, tell_complaints, told};
use crate::random::Random;

/// A busy victim is killed within this time.
const BUSY_MAX: Duration = Duration::from_millis(700);
/// One round in this many kills before the store is open.
const ROUNDS_PER_EARLY_KILL: u64 = 10;
/// A store that was killed opens within this time.
const OPEN_MAX: Duration = Duration::from_secs(2);

/// Sums over the rounds.
#[derive(Debug, Default)]
struct Totals {
    counts: Counts,
    in_flight: u64,
    early: u64,
    least_in_flight: Option<usize>,
    slowest_open: Duration,
    complaints: usize,
}

struct Harness<'a> {
    options: &'a ChaosOptions,
    seed: u64,
    target: Target,
    random: Random,
    state: State,
    /// How many victims were started: their calls are told apart by it.
    victims: u64,
    /// How long the last victim took from its start until its store was open.
    start_up: Duration,
    totals: Totals,
}

/// What one kill has met.
struct Kill {
    journal: Vec<u8>,
    history: History,
    was_open: bool,
    /// It was killed under full load, not at its start.
    was_busy: bool,
    /// From `open`, or from the start of the process.
    after: Duration,
}

/// Runs the rounds and prints a line for each.
pub(super) fn run(options: &ChaosOptions, seed: u64) -> Result<()> {
    let mut harness = Harness {
        options,
        seed,
        target: Target::start(options.db)?,
        random: Random::new(seed, 0),
        state: State::new(),
        victims: 0,
        start_up: Duration::from_millis(30),
        totals: Totals::default(),
    };
    println!("chaos: {} rounds, seed {seed}, store in {}", options.rounds, harness.target.name().display());
    let begun = Instant::now();
    for round in 1..=options.rounds {
        let done = harness.round(round).with_context(|| format!("round {round}, seed {seed}"));
        if let Err(error) = done {
            harness.target.keep();
            return Err(error);
        }
    }
    harness.report(begun.elapsed());
    let verdict = harness.verdict();
    if verdict.is_err() && options.mutant.is_none() {
        harness.target.keep();
    }
    verdict
}

impl Harness<'_> {
    fn round(&mut self, round: u64) -> Result<()> {
        let early = round.is_multiple_of(ROUNDS_PER_EARLY_KILL);
        // A store that nobody closed is what an early kill should meet.
        let close = !early && !(round + 1).is_multiple_of(ROUNDS_PER_EARLY_KILL) && self.random.below(2) == 0;
        if !early {
            let kill = self.kill_busy()?;
            return self.verify(round, &kill, close);
        }
        for attempt in 1.. {
            let kill = self.kill_early(attempt)?;
            let was_open = kill.was_open;
            self.verify(round, &kill, close)?;
            if !was_open {
                self.totals.early += 1;
                break;
            }
        }
        Ok(())
    }

    fn start_victim(&mut self) -> Result<Process> {
        self.victims += 1;
        let mut arguments: Vec<OsString> = vec!["victim".into(), "--db".into(), self.target.name()];
        arguments.extend(["--seed".into(), self.seed.to_string().into()]);
        arguments.extend(["--round".into(), self.victims.to_string().into()]);
        if self.options.mutant.is_some() {
            arguments.extend(["--mutant".into(), "ack-before-commit".into()]);
        }
        Process::start(&arguments)
    }

    fn kill_busy(&mut self) -> Result<Kill> {
        let started = Instant::now();
        let victim = self.start_victim()?;
        victim.wait_for(Event::Open)?;
        self.start_up = started.elapsed();
        let opened = Instant::now();
        victim.wait_for(Event::Busy)?;
        let micros = u64::try_from(BUSY_MAX.as_micros())?;
        victim.let_run(Duration::from_micros(self.random.below(micros)))?;
        let after = opened.elapsed();
        let journal = victim.kill()?;
        Ok(Kill { history: History::parse(&journal)?, journal, was_open: true, was_busy: true, after })
    }

    /// Kills while the store is being opened. Sooner with each attempt, until it comes before `open`.
    fn kill_early(&mut self, attempt: u32) -> Result<Kill> {
        let within = u64::try_from(self.start_up.as_micros())? / u64::from(attempt);
        let delay = Duration::from_micros(self.random.below(within));
        let started = Instant::now();
        let victim = self.start_victim()?;
        victim.let_run(delay.saturating_sub(started.elapsed()))?;
        let after = started.elapsed();
        let journal = victim.kill()?;
        let was_open = journal.starts_with(b"open\n");
        Ok(Kill { history: History::parse(&journal)?, journal, was_open, was_busy: false, after })
    }

    /// Opens the store again and compares.
    fn verify(&mut self, round: u64, kill: &Kill, close: bool) -> Result<()> {
        let (open, after) = self.target.look(close).context("after the kill")?;
        let mut found = check::check(&self.state, &kill.history, &after);
        if open > OPEN_MAX {
            found.push(Wrong::new(Rule::Late, None, format_args!("the store took {open:?} to open")));
        }
        let counts = kill.history.counts();
        self.add(kill, counts, open, found.len());
        let (moment, ms) = (if kill.was_open { "open" } else { "start, not open yet" }, kill.after.as_millis());
        let verdict = if found.is_empty() { "ok".to_owned() } else { format!("{} WRONG", found.len()) };
        println!(
            "round {round:>3}: killed {ms:>3} ms after {moment}, {:>3} in flight; {}; {} in {:>5.1} ms; {verdict}",
            counts.open,
            told(counts),
            self.target.looked(close),
            open.as_secs_f64() * 1e3,
        );
        tell_complaints(&found);
        if !found.is_empty() && self.options.mutant.is_none() {
            keep_evidence(std::slice::from_ref(&kill.journal), [&self.state, &after])?;
        }
        self.state = after;
        if let Some(text) = kill.history.first_failure() {
            println!("    a call failed: {text}");
        }
        Ok(())
    }

    fn add(&mut self, kill: &Kill, counts: Counts, open: Duration, complaints: usize) {
        let totals = &mut self.totals;
        totals.counts.add(counts);
        totals.in_flight += u64::from(kill.was_busy && counts.open > 0);
        totals.slowest_open = open.max(totals.slowest_open);
        totals.complaints += complaints;
        if kill.was_busy {
            let least = totals.least_in_flight.unwrap_or(usize::MAX);
            totals.least_in_flight = Some(least.min(counts.open));
        }
    }

    fn report(&self, took: Duration) {
        let Totals { counts, in_flight, early, least_in_flight, slowest_open, complaints } = &self.totals;
        println!(
            "{} kills in {:.0} s: {in_flight} with calls in flight (at least {}), {early} during start-up; \
             {} unanswered {}; {} keys; slowest open {:.1} ms; {complaints} wrong",
            self.options.rounds,
            took.as_secs_f64(),
            least_in_flight.unwrap_or(0),
            told(*counts),
            counts.open,
            self.state.len(),
            slowest_open.as_secs_f64() * 1e3,
        );
    }

    fn verdict(&self) -> Result<()> {
        let rounds = self.options.rounds;
        if self.totals.complaints > 0 {
            bail!("{} things are wrong after {rounds} kills (seed {})", self.totals.complaints, self.seed);
        }
        if self.totals.in_flight * 2 < rounds {
            bail!("only {} of {rounds} kills met calls in flight", self.totals.in_flight);
        }
        if self.totals.early < rounds / ROUNDS_PER_EARLY_KILL {
            bail!("only {} of {rounds} kills came during start-up", self.totals.early);
        }
        if self.totals.least_in_flight.is_some_and(|least| least < IN_FLIGHT_MIN) {
            bail!("a kill met {:?} calls in flight, not {IN_FLIGHT_MIN}", self.totals.least_in_flight);
        }
        Ok(())
    }
}
