//! What goes wrong, and when.
//!
//! Owns: the kinds of faults, and the plan that the seed draws. Does not own: what a fault does (`store::outages`, `network`,
//! `server`).

use std::time::Duration;

use super::context::{Context, Event};
use super::setup::Setup;

/// Long enough that others declare a server dead.
const LONG_FREEZE: Duration = Duration::from_millis(7_500);

/// A fault begins, or one that lasts ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A server is killed, and started again after that time.
    Kill(usize, Duration),
    /// A server stands still for that time.
    Freeze(usize, Duration),
    /// It goes on.
    Thaw(usize),
    /// All connections of a server are lost.
    Cut(usize),
    /// Nothing comes through between a server and the database for that time.
    BlackHole(usize, Duration),
    /// It does again.
    LetThrough(usize),
    /// For that time every few messages of a server cost the connection.
    Flaky(usize, Duration),
    /// Not any more.
    Steady(usize),
    /// The database is slow for that time.
    Slow(Duration),
    /// It is as fast as before.
    Fast,
    /// The primary crashes, and is back after that time.
    Crash(Duration),
    /// The standby takes over, within that time.
    FailOver(Duration),
    /// A server that lives is declared dead.
    FalseDeath(usize),
    /// The standby stands still for that time.
    StandbyStalls(Duration),
    /// A wait for the standby is cancelled.
    CancelledWait,
    /// An actor of a key in a server dies.
    ActorDies(usize),
    /// A VM of a server ends.
    VmEnds(usize),
}

/// Draws the faults of a run: single ones, and sequences that belong together.
pub fn plan(context: &mut Context) {
    let count = context.setup.options.faults + context.rng.below(4);
    let mut planned = 0;
    while planned < count {
        let last = u64::try_from(context.setup.active.as_millis()).unwrap_or(u64::MAX);
        let at = context.rng.millis(300..last.max(400));
        let sequence = if context.rng.chance(25) { sequence(context) } else { vec![(Duration::ZERO, single(context))] };
        planned += sequence.len();
        for (after, fault) in sequence {
            context.after(at + after, Event::Fault(fault));
        }
    }
}

fn a_server(context: &mut Context) -> usize {
    let servers = context.setup.options.servers;
    context.rng.below(servers)
}

fn single(context: &mut Context) -> Fault {
    let server = a_server(context);
    let rng = &mut context.rng;
    match rng.below(14) {
        0 | 1 => Fault::Kill(server, rng.millis(50..4_000)),
        2 => Fault::Freeze(server, rng.millis(100..9_000)),
        3 => Fault::Cut(server),
        4 => Fault::BlackHole(server, rng.millis(200..12_000)),
        5 => Fault::Flaky(server, rng.millis(500..4_000)),
        6 => Fault::Slow(rng.millis(300..3_000)),
        7 => Fault::Crash(rng.millis(20..2_000)),
        8 => Fault::FailOver(rng.millis(20..2_000)),
        9 => Fault::FalseDeath(server),
        10 => Fault::StandbyStalls(rng.millis(100..5_000)),
        11 => Fault::CancelledWait,
        12 => Fault::ActorDies(server),
        _ => Fault::VmEnds(server),
    }
}

/// Faults that do little alone.
fn sequence(context: &mut Context) -> Vec<(Duration, Fault)> {
    let server = a_server(context);
    let (long, short) = (Duration::from_millis(2_500), Duration::from_millis(100));
    let rng = &mut context.rng;
    let mut steps = Vec::new();
    let mut at = Duration::ZERO;
    let mut add = |rng: &mut super::rng::Rng, pause: u64, fault| {
        steps.push((at, fault));
        at += rng.millis(1..pause);
    };
    match rng.below(4) {
        // What the primary shows and the standby lacks; who could say it again may be gone.
        0 => {
            add(rng, 300, Fault::StandbyStalls(long));
            add(rng, 800, Fault::Crash(short));
            if rng.chance(60) {
                add(rng, 100, Fault::Kill(server, short));
            }
            add(rng, 800, Fault::FailOver(short));
        }
        1 => {
            add(rng, 300, Fault::StandbyStalls(long));
            for _ in 0..1 + rng.below(4) {
                add(rng, 60, Fault::CancelledWait);
            }
            add(rng, 800, Fault::CancelledWait);
            if rng.chance(60) {
                add(rng, 100, Fault::Kill(server, short));
            }
            add(rng, 800, Fault::FailOver(short));
        }
        // A server that others take for dead, and that hears only now and then.
        2 => {
            add(rng, 40, Fault::Flaky(server, long));
            add(rng, 600, Fault::FalseDeath(server));
            add(rng, 600, Fault::FalseDeath(server));
        }
        _ => {
            add(rng, 500, Fault::Freeze(server, LONG_FREEZE));
            add(rng, 100, Fault::Flaky(server, Duration::from_secs(9)));
        }
    }
    steps
}

impl Setup {
    /// How slow a slow database is.
    pub fn slowness(&self) -> u32 {
        if self.disk > 5_000 { 30 } else { 100 }
    }
}
