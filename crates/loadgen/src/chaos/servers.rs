//! Several server processes on one database, and faults of every kind.
//!
//! Owns: the rounds: load on all servers, one fault, its end, then every server answers again, every key is written once more,
//! and the calls of all are compared with what is stored; the verdict. Does not own: the processes (`fleet`), the database and the
//! lines to it (`stage`), what a fault is (`strike`), the rules (`check`), what is measured (`measure`) and how it is reported
//! (`report`).
//!
//! Histories are kept by this process. Their times come from the clock that all processes of a machine share: a call begins
//! before the victim takes its time and ends after, wherever the victim was stopped.

mod broken_sql;
mod fleet;
mod judge;
mod measure;
mod report;
mod stage;
mod strike;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clawstore_core::limits::CALL_DEADLINE;

use super::calls::{IN_FLIGHT_MIN, WARM, now_ns};
use super::check::{self, State, Wrong};
use super::history::History;
use super::{ChaosOptions, Fault, keep_evidence, tell_complaints, told};
use crate::random::Random;
use fleet::Fleet;
use judge::Losses;
use report::{Report, Round};
use stage::Stage;

/// Rounds after which new lists are begun. The old ones stay and are looked at in the end.
const ROUNDS_PER_EPOCH: u64 = 5;
/// Every call is answered, and everything settled, this long after all faults are over (I11).
const ANSWER_MAX: Duration = CALL_DEADLINE.saturating_add(Duration::from_secs(1));

/// A run from its start to its verdict.
struct Run<'a> {
    options: &'a ChaosOptions,
    seed: u64,
    // The processes end before their database does.
    fleet: Fleet,
    stage: Stage,
    turn: u64,
    state: State,
    /// The lists of older epochs, as they were last.
    old_lists: State,
    losses: Losses,
    report: Report,
}

/// Runs the rounds, prints a line for each, and reports.
pub(super) fn run(options: &ChaosOptions, faults: &[Fault], seed: u64) -> Result<()> {
    let mut run = Run::start(options, faults, seed)?;
    'rounds: for _ in 0..options.rounds {
        for &fault in faults {
            run.turn += 1;
            let turn = run.turn;
            let done = run.round(fault).with_context(|| format!("round {turn} ({fault:?})"));
            if let Err(error) = done {
                run.keep_what_there_is()?;
                return Err(error);
            }
            if options.mutant.is_some() && run.report.wrong() > 0 {
                break 'rounds;
            }
        }
    }
    run.finish()
}

impl<'a> Run<'a> {
    fn start(options: &'a ChaosOptions, faults: &[Fault], seed: u64) -> Result<Self> {
        let report = Report::new(options, faults, seed);
        println!("chaos: {}", report.head());
        let stage = Stage::start(options, faults)?;
        let fleet = Fleet::start(options, seed, &stage)?;
        if let Some(mutant) = options.mutant {
            broken_sql::break_database(mutant, &stage.server)?;
        }
        let (state, old_lists, losses) = (State::new(), State::new(), Losses::default());
        Ok(Self { options, seed, fleet, stage, turn: 0, state, old_lists, losses, report })
    }

    fn round(&mut self, fault: Fault) -> Result<()> {
        let (started, epoch) = (Instant::now(), self.turn / ROUNDS_PER_EPOCH);
        self.leave_old_lists(epoch);
        self.fleet.go(epoch)?;
        self.fleet.wait_until_busy()?;
        let (begun, mut random) = (now_ns(), Random::new(self.seed, 1 << 32 | self.turn));
        let lasts = Duration::from_secs(self.options.seconds);
        self.fleet.let_run(strike::some(&mut random, lasts / 3))?;
        let in_flight = self.fleet.in_flight();
        let struck = strike::strike(fault, &mut self.stage, &mut self.fleet, &mut random)?;
        let healed = Instant::now();
        self.fleet.wait_for_answers(WARM, ANSWER_MAX).context("not all servers are answered again")?;
        let back = healed.elapsed();
        self.fleet.let_run(lasts.saturating_sub(started.elapsed()))?;
        let lost = self.fleet.pause(ANSWER_MAX).context("a call has no answer")?;
        let paused = now_ns();
        self.fleet.sweep(epoch, self.turn, ANSWER_MAX).context("not every key can be written")?;
        self.stage.server.wait_until_gone(Some(&self.fleet.take_dead_names()))?;
        let journals = self.fleet.take_journals()?;
        let (history, after) = (History::merge(&journals)?, self.stage.server.look_at_epoch(epoch)?);
        let mut found = check::check(&self.state, &history, &after);
        found.extend(judge::liveness(&history, self.options.keys, &self.fleet.living_numbers()));
        let found = self.losses.judge(fault == Fault::Loss, &lost, found);
        let times = measure::times(&history, begun, paused, &struck);
        let counts = history.counts();
        let line = Round { fault, counts, wrong: found.len(), in_flight, back, times };
        println!("{}", line.told(self.turn, &told(counts), &struck.what));
        if let Some(text) = history.first_failure() {
            println!("    a call failed: {text}");
        }
        self.conclude(line, &found, &journals, after)
    }

    /// Prints and keeps what was found.
    fn conclude(&mut self, line: Round, found: &[Wrong], journals: &[Vec<u8>], after: State) -> Result<()> {
        tell_complaints(found);
        if !found.is_empty() && self.options.mutant.is_none() {
            keep_evidence(journals, [&self.state, &after])?;
        }
        self.report.add(self.turn, line, found, self.losses);
        self.state = after;
        Ok(())
    }

    /// For whoever wants to know why a round did not come to its end.
    fn keep_what_there_is(&mut self) -> Result<()> {
        println!("replay: {}", self.report.replay());
        let journals = self.fleet.take_journals()?;
        // It may be what is missing.
        let stored = self.stage.server.look().unwrap_or_default();
        keep_evidence(&journals, [&self.state, &stored])
    }

    fn leave_old_lists(&mut self, epoch: u64) {
        let now = format!("list_{epoch}_");
        let is_old = |key: &String| key.starts_with("list_") && !key.starts_with(&now);
        self.old_lists.extend(self.state.extract_if(.., |key, _| is_old(key)));
    }

    fn finish(mut self) -> Result<()> {
        // What nobody has written since must be as it was.
        let mut expected = std::mem::take(&mut self.old_lists);
        expected.append(&mut self.state);
        let found = check::check(&expected, &History::default(), &self.stage.server.look()?);
        if !found.is_empty() {
            println!("in the end:");
            tell_complaints(&found);
        }
        self.report.add_last(&found);
        println!("{}", self.report.text());
        if let Some(dir) = &self.options.report {
            self.report.write(dir)?;
        }
        let wrong = self.report.wrong();
        if wrong > 0 {
            println!("replay: {}", self.report.replay());
            bail!("{wrong} things are WRONG after {} rounds (seed {})", self.turn, self.seed);
        }
        let least = self.report.least_in_flight();
        ensure!(least >= IN_FLIGHT_MIN, "a fault met {least} calls in flight, not {IN_FLIGHT_MIN}");
        Ok(())
    }
}
