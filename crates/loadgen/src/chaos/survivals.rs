//! What a process outlives: the death of its server, connections that are cut.
//!
//! Owns: the rounds: a busy victim, a fault, the load goes on by itself, a pause in which every call must be answered, a
//! look at what is stored; the report and the verdict. Does not own: how a connection is cut (`proxy`).

use std::ffi::OsString;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clawstore_core::limits::CALL_DEADLINE;

use super::calls::{IN_FLIGHT_MIN, WARM};
use super::check::{self, State};
use super::history::{Counts, History};
use super::process::{Event, Process};
use super::target::Server;
use super::{keep_evidence, tell_complaints, told};
use crate::proxy::{CutPoint, Proxy};
use crate::random::Random;

/// In the text of the statement that commits a batch.
const COMMIT: &str = "commit_batch";
/// A busy victim meets the fault within this time.
const BUSY_MAX: Duration = Duration::from_millis(700);
/// A server that was killed stays away for at most this long.
const DOWN_MAX: Duration = Duration::from_secs(2);
/// A commit to be cut comes within this time.
const CUT_MAX: Duration = Duration::from_secs(30);
/// Every call is answered this long after all faults are over (I11).
const ANSWER_MAX: Duration = CALL_DEADLINE.saturating_add(Duration::from_secs(1));

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blow {
    /// kill -9 of the server, which is started again.
    Postmaster,
    /// One cut at each point of a commit.
    Connection,
}

/// Sums over the rounds.
#[derive(Debug, Default)]
struct Totals {
    counts: Counts,
    least_in_flight: Option<usize>,
    slowest_back: Duration,
    slowest_pause: Duration,
    complaints: usize,
}

struct Harness {
    seed: u64,
    server: Server,
    proxy: Proxy,
    victim: Process,
    random: Random,
    state: State,
    totals: Totals,
}

/// What a blow has met, and what came of it.
struct Met {
    in_flight: usize,
    /// From the end of the fault until enough calls were answered again.
    back: Duration,
}

/// Runs the rounds and prints a line for each.
pub(super) fn run(rounds: u64, seed: u64, blow: Blow) -> Result<()> {
    let server = Server::start()?;
    let proxy = Proxy::start(server.cluster().port(), COMMIT)?;
    println!("chaos: {rounds} rounds of {blow:?}, seed {seed}, {}", server.url());
    // A server that is away refuses; the proxy before it would accept.
    let port = if blow == Blow::Connection { proxy.port() } else { server.cluster().port() };
    let url = server.url().replace(&format!(":{}/", server.cluster().port()), &format!(":{port}/"));
    let arguments: [OsString; 7] =
        ["victim", "--db", &url, "--seed", &seed.to_string(), "--round", "1"].map(OsString::from);
    let victim = Process::start(&arguments)?;
    victim.wait_for(Event::Open)?;
    let (random, state, totals) = (Random::new(seed, 1), State::new(), Totals::default());
    let mut harness = Harness { seed, server, proxy, victim, random, state, totals };
    let begun = Instant::now();
    for round in 1..=rounds {
        harness.round(round, blow).with_context(|| format!("round {round} of {blow:?}, seed {seed}"))?;
    }
    let replays = harness.server.replays()?;
    harness.report(rounds, blow, begun.elapsed(), replays);
    harness.verdict(rounds)?;
    // Each cut after a commit takes away an answer that only the database can repeat.
    let is_settled = blow != Blow::Connection || replays >= i64::try_from(rounds)?;
    ensure!(is_settled, "only {replays} answers were asked for again");
    Ok(())
}

impl Harness {
    fn round(&mut self, round: u64, blow: Blow) -> Result<()> {
        if round > 1 {
            self.victim.say(&format!("go {round}"))?;
        }
        self.victim.wait_for(Event::Busy)?;
        let met = match blow {
            Blow::Postmaster => self.kill_server()?,
            Blow::Connection => self.cut_everywhere()?,
        };
        self.victim.say("pause")?;
        let paused = Instant::now();
        self.victim.wait_at_most(Event::Idle, ANSWER_MAX).context("a call has no answer")?;
        self.judge(round, &met, paused.elapsed())
    }

    fn kill_server(&mut self) -> Result<Met> {
        let (busy, down) = (self.some(BUSY_MAX)?, self.some(DOWN_MAX)?);
        self.victim.let_run(busy)?;
        let in_flight = self.victim.in_flight();
        self.server.cluster_mut().kill()?;
        self.victim.let_run(down)?;
        self.server.cluster_mut().restart()?;
        Ok(Met { in_flight, back: self.victim.wait_for_answers(WARM, ANSWER_MAX)? })
    }

    /// One cut at each point, in an order of its own, each when the load is back after the one before.
    fn cut_everywhere(&mut self) -> Result<Met> {
        let mut met = Met { in_flight: usize::MAX, back: Duration::ZERO };
        let first = usize::try_from(self.random.below(4))?;
        for number in 0..CutPoint::ALL.len() {
            let point = CutPoint::ALL[(first + number) % CutPoint::ALL.len()];
            let busy = self.some(BUSY_MAX)? / 4;
            self.victim.let_run(busy)?;
            self.proxy.arm(point);
            let cut = self.proxy.wait_cut(CUT_MAX)?;
            met.in_flight = self.victim.in_flight().min(met.in_flight);
            ensure!(cut == point, "cut {cut:?} instead of {point:?}");
            let back = self.victim.wait_for_answers(WARM, ANSWER_MAX);
            met.back = back.with_context(|| format!("after a cut {point:?}"))?.max(met.back);
        }
        Ok(met)
    }

    fn some(&mut self, max: Duration) -> Result<Duration> {
        Ok(Duration::from_micros(self.random.below(u64::try_from(max.as_micros())?)))
    }

    fn judge(&mut self, round: u64, met: &Met, pause: Duration) -> Result<()> {
        let journal = self.victim.take_lines();
        let (history, after) = (History::parse(&journal)?, self.server.look()?);
        let found = check::check(&self.state, &history, &after);
        let counts = history.counts();
        ensure!(counts.open == 0, "{} calls are not answered, and the victim says that it is idle", counts.open);
        println!(
            "round {round:>3}: {:>3} in flight; answers again after {:>5.0} ms, all after {:>5.0} ms; {}; {}",
            met.in_flight,
            met.back.as_secs_f64() * 1e3,
            pause.as_secs_f64() * 1e3,
            told(counts),
            if found.is_empty() { "ok".to_owned() } else { format!("{} WRONG", found.len()) },
        );
        tell_complaints(&found);
        if !found.is_empty() {
            keep_evidence(&[journal], [&self.state, &after])?;
        }
        if let Some(text) = history.first_failure() {
            println!("    a call failed: {text}");
        }
        self.state = after;
        let totals = &mut self.totals;
        totals.counts.add(counts);
        totals.least_in_flight = Some(totals.least_in_flight.unwrap_or(usize::MAX).min(met.in_flight));
        totals.slowest_back = met.back.max(totals.slowest_back);
        totals.slowest_pause = pause.max(totals.slowest_pause);
        totals.complaints += found.len();
        Ok(())
    }

    fn report(&self, rounds: u64, blow: Blow, took: Duration, replays: i64) {
        let Totals { counts, least_in_flight, slowest_back, slowest_pause, complaints } = &self.totals;
        println!(
            "{rounds} rounds of {blow:?} in {:.0} s: at least {} calls in flight; {}; {} keys; slowest to answer again \
             {:.1} s, to answer all {:.1} s; {replays} batches had committed when sent again; {complaints} wrong",
            took.as_secs_f64(),
            least_in_flight.unwrap_or(0),
            told(*counts),
            self.state.len(),
            slowest_back.as_secs_f64(),
            slowest_pause.as_secs_f64(),
        );
    }

    fn verdict(&self, rounds: u64) -> Result<()> {
        if self.totals.complaints > 0 {
            bail!("{} things are wrong after {rounds} rounds (seed {})", self.totals.complaints, self.seed);
        }
        if self.totals.least_in_flight.is_some_and(|least| least < IN_FLIGHT_MIN) {
            bail!("a fault met {:?} calls in flight, not {IN_FLIGHT_MIN}", self.totals.least_in_flight);
        }
        Ok(())
    }
}
