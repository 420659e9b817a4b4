//! What a fault is.
//!
//! Owns: doing it to a busy fleet, with whatever the seed says of whom, when and for how long, and its end. Does not own: the
//! load before it and the look after it (`servers`).

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::super::Fault;
use super::super::calls::{WARM, now_ns};
use super::ANSWER_MAX;
use super::fleet::Fleet;
use super::stage::Stage;
use crate::proxy::{CutPoint, Line};
use crate::random::Random;

/// One kill in this many is one of all processes.
const KILLS_PER_MASSACRE: u64 = 8;
/// A process that was killed is away for at most this long.
const AWAY_MAX: Duration = Duration::from_secs(1);
/// How long a process may be stopped, and what is sent may not arrive: shorter than, and much longer than, it takes to be
/// declared dead.
const FROZEN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(15)];
const SILENT: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(16)];
const SLOW: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(5)];
/// How late everything arrives on a slow line.
const DELAY: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(150)];
/// A Postgres server that was killed stays away for at most this long.
const DOWN_MAX: Duration = Duration::from_secs(2);
/// Two primaries beside each other, for at most this long.
const SPLIT_MAX: Duration = Duration::from_millis(800);
/// The standby hears nothing for this long before it takes over.
const BEHIND: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(800)];
/// Processes look at what was lost when they next hear of the database.
const HEARD_OF: Duration = Duration::from_secs(3);
/// A commit to be cut comes within this time.
const CUT_MAX: Duration = Duration::from_secs(30);

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Struck {
    /// For people.
    pub(super) what: String,
    pub(super) at_ns: u64,
    /// Numbers of the processes that did nothing from then on.
    pub(super) gone: Vec<u64>,
}

/// Does it, and returns when it is over.
pub(super) fn strike(fault: Fault, stage: &mut Stage, fleet: &mut Fleet, random: &mut Random) -> Result<Struck> {
    let at_ns = now_ns();
    let (what, gone) = match fault {
        Fault::Process => kill(stage, fleet, random)?,
        Fault::Freeze => freeze(stage, fleet, random)?,
        Fault::Connection => (cut(stage, fleet, random)?, Vec::new()),
        Fault::Hole => (bad_line(stage, fleet, random, Line::Silent, SILENT)?, Vec::new()),
        Fault::Slow => {
            let line = Line::Slow(between(random, DELAY));
            (bad_line(stage, fleet, random, line, SLOW)?, Vec::new())
        }
        Fault::Postmaster => (kill_server(stage, fleet, random)?, Vec::new()),
        Fault::Promotion => (promote(stage, fleet, random)?, Vec::new()),
        Fault::Loss => (lose(stage, fleet, random)?, Vec::new()),
        Fault::All => bail!("`all` is a list of faults"),
    };
    Ok(Struck { what, at_ns, gone })
}

fn kill(stage: &Stage, fleet: &mut Fleet, random: &mut Random) -> Result<(String, Vec<u64>)> {
    let dying: Vec<usize> = match random.below(KILLS_PER_MASSACRE) {
        0 => (0..fleet.len()).collect(),
        _ => vec![someone(fleet, random)?],
    };
    let (gone, away) = (dying.iter().map(|slot| fleet.number(*slot)).collect(), some(random, AWAY_MAX));
    fleet.replace(&dying, away, stage)?;
    Ok((format!("servers {dying:?} away for {away:.1?}"), gone))
}

fn freeze(stage: &Stage, fleet: &Fleet, random: &mut Random) -> Result<(String, Vec<u64>)> {
    let (slot, lasts, is_cut) = (someone(fleet, random)?, between(random, FROZEN), random.below(2) == 0);
    fleet.freeze(slot)?;
    fleet.let_run(lasts / 2)?;
    if is_cut {
        // What was answered meanwhile, it never hears.
        stage.lines[slot].cut_all();
    }
    fleet.let_run(lasts - lasts / 2)?;
    fleet.thaw(slot)?;
    let connections = if is_cut { ", its connections gone" } else { "" };
    Ok((format!("server {slot} stopped for {lasts:.1?}{connections}"), vec![fleet.number(slot)]))
}

/// One cut at each point of a commit, and then of everything that one server has.
fn cut(stage: &Stage, fleet: &Fleet, random: &mut Random) -> Result<String> {
    let first = usize::try_from(random.below(4))?;
    for number in 0..CutPoint::ALL.len() {
        let (point, slot) = (CutPoint::ALL[(first + number) % CutPoint::ALL.len()], someone(fleet, random)?);
        stage.lines[slot].arm(point);
        stage.lines[slot].wait_cut(CUT_MAX)?;
        let back = fleet.wait_for_answers_of(slot, WARM, ANSWER_MAX);
        back.with_context(|| format!("server {slot} after a cut {point:?}"))?;
    }
    let slot = someone(fleet, random)?;
    stage.lines[slot].cut_all();
    Ok(format!("4 commits cut, all of server {slot}"))
}

fn bad_line(stage: &Stage, fleet: &Fleet, random: &mut Random, line: Line, range: [Duration; 2]) -> Result<String> {
    let (slot, lasts) = (someone(fleet, random)?, between(random, range));
    let is_for_all = random.below(4) == 0;
    let lines = if is_for_all { &stage.lines[..] } else { &stage.lines[slot..=slot] };
    lines.iter().for_each(|proxy| proxy.set_line(line));
    let ran = fleet.let_run(lasts);
    lines.iter().for_each(|proxy| proxy.set_line(Line::Good));
    ran?;
    let whom = if is_for_all { "all servers".to_owned() } else { format!("server {slot}") };
    Ok(format!("{whom}: {line:?} for {lasts:.1?}"))
}

fn kill_server(stage: &mut Stage, fleet: &Fleet, random: &mut Random) -> Result<String> {
    let down = some(random, DOWN_MAX);
    stage.server.cluster_mut().kill()?;
    fleet.let_run(down)?;
    stage.server.cluster_mut().restart()?;
    Ok(format!("down for {down:.1?}"))
}

/// The standby takes over, sometimes after it has heard nothing for a while, and sometimes while the old primary still answers.
fn promote(stage: &mut Stage, fleet: &Fleet, random: &mut Random) -> Result<String> {
    let (is_cut, is_split) = (random.below(2) == 0, random.below(2) == 0);
    let mut what = String::from(if is_split { "beside the old primary" } else { "primary killed" });
    if is_cut {
        let behind = between(random, BEHIND);
        stage.server.pair()?.cut()?;
        fleet.let_run(behind)?;
        what += &format!(", its standby cut off {behind:.1?} before");
    }
    if !is_split {
        stage.server.cluster_mut().kill()?;
    }
    let old = stage.server.pair()?.promote()?;
    if is_split {
        fleet.let_run(some(random, SPLIT_MAX))?;
    }
    stage.retarget();
    drop(old);
    stage.server.pair()?.add_standby()?;
    Ok(what)
}

/// The standby hears nothing any more, the primary goes on, and dies: what it answered meanwhile is gone.
fn lose(stage: &mut Stage, fleet: &Fleet, random: &mut Random) -> Result<String> {
    let behind = between(random, BEHIND);
    stage.server.pair()?.cut()?;
    fleet.let_run(behind)?;
    stage.server.cluster_mut().kill()?;
    drop(stage.server.pair()?.promote()?);
    stage.retarget();
    stage.server.pair()?.add_standby()?;
    fleet.let_run(HEARD_OF)?;
    Ok(format!("{behind:.1?} of writes not on the standby"))
}

fn someone(fleet: &Fleet, random: &mut Random) -> Result<usize> {
    Ok(usize::try_from(random.below(u64::try_from(fleet.len())?))?)
}

/// A duration below this.
pub(super) fn some(random: &mut Random, max: Duration) -> Duration {
    Duration::from_micros(random.below(u64::try_from(max.as_micros()).unwrap_or(u64::MAX)))
}

fn between(random: &mut Random, [min, max]: [Duration; 2]) -> Duration {
    min + some(random, max - min)
}
