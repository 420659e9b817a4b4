//! What is said of a run.
//!
//! Owns: the sums for each fault, the lines and tables for people, the file for programs, and the command that repeats a run. Does
//! not own: what is wrong (`check`, `judge`), what is measured (`measure`).

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::Serialize;

use super::super::check::Wrong;
use super::super::history::Counts;
use super::super::{ChaosOptions, Fault};
use super::judge::Losses;
use super::measure::Times;

/// Complaints that the files have.
const COMPLAINTS_MAX: usize = 1_000;

/// One round.
#[derive(Debug, Clone)]
pub(super) struct Round {
    pub(super) fault: Fault,
    pub(super) counts: Counts,
    pub(super) wrong: usize,
    pub(super) in_flight: usize,
    /// From the end of the fault until all servers were answered again.
    pub(super) back: Duration,
    pub(super) times: Times,
}

impl Round {
    /// A line for people.
    pub(super) fn told(&self, turn: u64, told: &str, what: &str) -> String {
        let takeover = match self.times.takeovers.iter().max() {
            Some(longest) => format!("; {} keys taken over, {longest:.2?} at most", self.times.takeovers.len()),
            None => String::new(),
        };
        let (gap, back, fault) = (self.times.gap, self.back, name(self.fault));
        let verdict = if self.wrong == 0 { "ok".to_owned() } else { format!("{} WRONG", self.wrong) };
        let unanswered = self.counts.open;
        format!(
            "round {turn:>3} {fault}: {what}; {} in flight; {told} unanswered {unanswered}; gap {gap:.2?}; back {back:.2?}\
             {takeover}; {verdict}",
            self.in_flight
        )
    }
}

/// All rounds of one fault.
#[derive(Debug, Clone, Default, Serialize)]
struct Sum {
    rounds: u64,
    acked: usize,
    failed: usize,
    /// Answered UNKNOWN.
    unknown: usize,
    /// In flight when their process was killed.
    unanswered: usize,
    wrong: usize,
    least_in_flight: usize,
    longest_gap_ms: f64,
    slowest_call_ms: f64,
    longest_back_ms: f64,
    taken_over_keys: usize,
    takeover_p50_ms: f64,
    takeover_p99_ms: f64,
    takeover_max_ms: f64,
    #[serde(skip)]
    takeovers: Vec<Duration>,
}

impl Sum {
    fn add(&mut self, round: Round) {
        let Counts { acked, failed, unknown, open } = round.counts;
        self.least_in_flight =
            if self.rounds == 0 { round.in_flight } else { self.least_in_flight.min(round.in_flight) };
        self.rounds += 1;
        self.acked += acked;
        self.failed += failed;
        self.unknown += unknown;
        self.unanswered += open;
        self.wrong += round.wrong;
        self.longest_gap_ms = self.longest_gap_ms.max(ms(round.times.gap));
        self.slowest_call_ms = self.slowest_call_ms.max(ms(round.times.slowest));
        self.longest_back_ms = self.longest_back_ms.max(ms(round.back));
        self.takeovers.extend(round.times.takeovers);
        self.takeovers.sort_unstable();
        let at = |percent: usize| self.takeovers.get(self.takeovers.len() * percent / 100).copied().map_or(0.0, ms);
        (self.takeover_p50_ms, self.takeover_p99_ms) = (at(50), at(99));
        self.takeover_max_ms = self.takeovers.last().copied().map_or(0.0, ms);
        self.taken_over_keys = self.takeovers.len();
    }
}

/// The whole run. Written as it is for programs.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    replay: String,
    seed: u64,
    version: String,
    servers: u64,
    keys: u64,
    hot_percent: u64,
    mutant: Option<String>,
    seconds: f64,
    faults: BTreeMap<String, Sum>,
    /// Rounds in which an asynchronous standby lost acknowledged writes, and how many of them were reported.
    lossy_rounds: u64,
    reported_losses: u64,
    wrong: usize,
    complaints: Vec<String>,
    #[serde(skip)]
    started: Instant,
}

impl Report {
    pub(super) fn new(options: &ChaosOptions, faults: &[Fault], seed: u64) -> Self {
        let names: Vec<String> = faults.iter().map(|fault| name(*fault)).collect();
        let (servers, mutant) = (options.servers.unwrap_or(1), options.mutant.map(name));
        let ChaosOptions { rounds, keys, hot, seconds, .. } = options;
        let (names, broken) = (names.join(","), mutant.as_ref().map(|mutant| format!(" --mutant {mutant}")));
        let replay = format!(
            "cargo xtask chaos --servers {servers} --fault {names} --rounds {rounds} --keys {keys} --hot {hot} \
             --seconds {seconds} --seed {seed}{}",
            broken.unwrap_or_default()
        );
        Self {
            replay,
            seed,
            version: version(),
            servers,
            keys: *keys,
            hot_percent: *hot,
            mutant,
            seconds: 0.0,
            faults: BTreeMap::new(),
            lossy_rounds: 0,
            reported_losses: 0,
            wrong: 0,
            complaints: Vec::new(),
            started: Instant::now(),
        }
    }

    /// What is run, for its first line.
    pub(super) fn head(&self) -> String {
        format!("{} ({})", self.replay, self.version)
    }

    /// The command that makes the same choices again. Times are those of the machine.
    pub(super) fn replay(&self) -> &str {
        &self.replay
    }

    pub(super) fn wrong(&self) -> usize {
        self.wrong
    }

    pub(super) fn least_in_flight(&self) -> usize {
        self.faults.values().map(|sum| sum.least_in_flight).min().unwrap_or(0)
    }

    pub(super) fn add(&mut self, turn: u64, round: Round, found: &[Wrong], losses: Losses) {
        (self.lossy_rounds, self.reported_losses) = (losses.lossy, losses.reported);
        self.complain(&format!("round {turn}"), found);
        self.faults.entry(name(round.fault)).or_default().add(round);
        self.seconds = self.started.elapsed().as_secs_f64();
    }

    /// What was found when all rounds were over.
    pub(super) fn add_last(&mut self, found: &[Wrong]) {
        self.complain("in the end", found);
    }

    fn complain(&mut self, when: &str, found: &[Wrong]) {
        self.wrong += found.len();
        let room = COMPLAINTS_MAX.saturating_sub(self.complaints.len());
        self.complaints.extend(found.iter().take(room).map(|wrong| format!("{when}: {wrong}")));
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "\n{} servers, {} keys, {} % of calls on hot keys, {:.0} s\n\n{:<11} {:>6} {:>9} {:>6} {:>7} {:>10} {:>5} {:>9} {:>8} \
             {:>8} {:>8} {:>22}\n",
            self.servers,
            self.keys,
            self.hot_percent,
            self.seconds,
            "fault",
            "rounds",
            "acked",
            "failed",
            "unknown",
            "unanswered",
            "wrong",
            "in flight",
            "gap ms",
            "call ms",
            "back ms",
            "taken over p50/p99/max",
        );
        for (fault, sum) in &self.faults {
            let takeover = match sum.taken_over_keys {
                0 => String::from("-"),
                _ => format!("{:.0}/{:.0}/{:.0} ms", sum.takeover_p50_ms, sum.takeover_p99_ms, sum.takeover_max_ms),
            };
            text += &format!(
                "{fault:<11} {:>6} {:>9} {:>6} {:>7} {:>10} {:>5} {:>9} {:>8.0} {:>8.0} {:>8.0} {takeover:>22}\n",
                sum.rounds,
                sum.acked,
                sum.failed,
                sum.unknown,
                sum.unanswered,
                sum.wrong,
                sum.least_in_flight,
                sum.longest_gap_ms,
                sum.slowest_call_ms,
                sum.longest_back_ms,
            );
        }
        if self.lossy_rounds > 0 {
            let (lossy, reported) = (self.lossy_rounds, self.reported_losses);
            text += &format!("{lossy} promotions lost acknowledged writes, {reported} of them were reported\n");
        }
        text + &format!("{} wrong\n", self.wrong)
    }

    /// Writes `chaos.txt` and `chaos.json`.
    pub(super) fn write(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        let complaints: String = self.complaints.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(dir.join("chaos.txt"), format!("{}\n{}\n{complaints}", self.head(), self.text()))?;
        std::fs::write(dir.join("chaos.json"), serde_json::to_vec_pretty(self)?)?;
        Ok(())
    }
}

fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// What is tested, as far as git can tell.
fn version() -> String {
    let output = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let output = output.ok().filter(|output| output.status.success());
    output.map_or_else(
        || "unknown version".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: ChaosOptions,
    }

    fn report(line: &str) -> Report {
        let options = Line::try_parse_from(line.split(' ')).unwrap().options;
        Report::new(&options, &options.faults(), 7)
    }

    fn round(fault: Fault, wrong: usize, takeovers: &[u64]) -> Round {
        let takeovers = takeovers.iter().copied().map(Duration::from_millis).collect();
        let times = Times { gap: Duration::from_millis(5), slowest: Duration::from_millis(9), takeovers };
        let counts = Counts { acked: 10, failed: 1, unknown: 2, open: 3 };
        Round { fault, counts, wrong, in_flight: 70, back: Duration::from_millis(3), times }
    }

    #[test]
    fn a_run_can_be_repeated() {
        let report = report("chaos --servers 3 --fault freeze,process --rounds 2 --mutant no-checks");
        let expected = "cargo xtask chaos --servers 3 --fault process,freeze --rounds 2 --keys 2000 --hot 10 --seconds 3 --seed 7 \
                        --mutant no-checks";
        assert_eq!(report.replay(), expected);
    }

    #[test]
    fn a_mutant_comes_with_what_shows_it() {
        assert!(report("chaos --servers 3 --mutant unfenced").replay().contains("--fault connection,freeze"));
        assert!(
            report("chaos --servers 3 --fault all")
                .replay()
                .contains("process,postmaster,connection,freeze,hole,slow,promotion")
        );
        assert!(report("chaos --servers 3").replay().contains("--fault process "));
    }

    #[test]
    fn sums_are_kept_by_fault_and_written_for_people_and_programs() {
        let mut report = report("chaos --servers 3");
        let wrong = [Wrong::new(super::super::super::check::Rule::Lost, None, "key_1")];
        report.add(1, round(Fault::Process, 0, &[900, 100]), &[], Losses::default());
        report.add(2, round(Fault::Process, 1, &[200]), &wrong, Losses::default());
        report.add(3, round(Fault::Loss, 0, &[]), &[], Losses { lossy: 1, reported: 1 });
        let dir = tempfile::tempdir().unwrap();
        report.write(dir.path()).unwrap();
        let json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(dir.path().join("chaos.json")).unwrap()).unwrap();
        let process = &json["faults"]["process"];
        assert_eq!((&process["rounds"], &process["acked"], &process["unanswered"]), (&2.into(), &20.into(), &6.into()));
        assert_eq!((&process["takeover_p50_ms"], &process["takeover_max_ms"]), (&200.0.into(), &900.0.into()));
        assert_eq!((&json["wrong"], &json["reported_losses"]), (&1.into(), &1.into()));
        let text = std::fs::read_to_string(dir.path().join("chaos.txt")).unwrap();
        assert!(text.contains("round 2: key_1: LOST") && text.contains("1 of them were reported"), "{text}");
        assert_eq!(report.least_in_flight(), 70);
    }
}
