//! What goes wrong: lost connections, deaths true and false, kills, crashes, failovers, cancelled waits, deadlines.
//!
//! Owns: each fault and its budget. Does not own: how anyone recovers from it.

use clawstore_core::mutant::Mutant;

use crate::config::{Budget, Config};
use crate::database;
use crate::server::hang_up;
use crate::state::{Answer, Kind, Lease, Op, Place, Request, SERVERS, Server, Stage, State, server_of};
use crate::step::{Step, Steps};

/// All faults.
pub(crate) fn steps(config: &Config, state: &State, out: &mut Steps) {
    lose(state, out);
    die(state, out);
    kill(state, out);
    crash(state, out);
    failover(state, out);
    cancel(config, state, out);
    timeout(config, state, out);
}

/// The state in which a fault is about to happen, if it still may.
fn spend(state: &State, kind: fn(&mut Budget) -> &mut u8) -> Option<State> {
    let mut next = *state;
    next.left.faults = next.left.faults.checked_sub(1)?;
    let left = kind(&mut next.left);
    *left = left.checked_sub(1)?;
    Some(next)
}

/// The sender stops waiting. What was sent goes its way: it may arrive later, wait for a lock, or commit. It may as well
/// never arrive: that is the same as arriving after all that matters.
fn lose(state: &State, out: &mut Steps) {
    for (at, request) in state.net.iter().enumerate().filter(|(_, request)| request.live) {
        let mut next = *state;
        if request.stage == Stage::Answered {
            next.take(at);
        } else {
            next.net[at].live = false;
        }
        out.push((Step::Lose { kind: request.kind, incarnation: request.incarnation }, next));
    }
    for (at, entry) in state.log().iter().enumerate().filter(|(_, entry)| entry.live && entry.kind != Kind::Read) {
        let mut next = *state;
        next.wal[at].live = false;
        out.push((Step::Lose { kind: entry.kind, incarnation: entry.incarnation }, next));
    }
}

/// §2.2.3. One that was killed, or goes on in another name, may be declared dead if it owns the key; a running one as often
/// as the budget allows. Whoever declares runs, and is not known as dead. It is seen at once and waits for nothing.
fn die(state: &State, out: &mut Steps) {
    let now = state.visible();
    let may_declare = |server: usize| !state.servers[server].killed && !now.is_dead(state.incarnation(server));
    for incarnation in 0..4 {
        let server = server_of(incarnation);
        let runs = !state.servers[server].killed && state.incarnation(server) == incarnation;
        let by = (0..SERVERS).any(|by| (by != server || !runs) && may_declare(by));
        let owner = (now.row.owner == incarnation + 1).then_some(*state);
        let next = if runs { spend(state, |left| &mut left.false_deaths) } else { owner };
        let Some(mut next) = next.filter(|_| by && !now.is_dead(incarnation)) else { continue };
        next.append(Request { kind: Kind::Death, stage: Stage::Visible, incarnation, ..Request::default() });
        out.push((Step::Death { incarnation }, next));
    }
}

fn kill(state: &State, out: &mut Steps) {
    for server in (0..SERVERS).filter(|&server| !state.servers[server].killed) {
        let Some(mut next) = spend(state, |left| &mut left.kills) else { return };
        hang_up(&mut next, state.incarnation(server));
        next.servers[server] = Server {
            killed: true,
            generation: state.servers[server].generation,
            lease: Lease::None,
            ..Server::default()
        };
        let gone =
            |op: &&mut Op| usize::from(op.server) == server && matches!(op.place, Place::Queued | Place::InFlight);
        for op in next.ops.iter_mut().filter(gone) {
            op.place = Place::Over;
        }
        out.push((Step::Kill { server }, next));
    }
}

/// What holds locks only is gone, what is in the log is recovered, and seen even if the standby lacks it. Deaths do not wait
/// for their commit: at the end of the log they may be missing.
fn crash(state: &State, out: &mut Steps) {
    let Some(mut next) = spend(state, |left| &mut left.crashes) else { return };
    disconnect(&mut next);
    for entry in next.wal.iter_mut().filter(|entry| entry.kind != Kind::None) {
        (entry.stage, entry.live) = (Stage::Visible, false);
    }
    out.push((Step::Crash { lost: false }, next));
    let kept = state.log().iter().rposition(|entry| entry.kind != Kind::Death).map_or(0, |at| at + 1);
    if kept < state.log().len() {
        next.wal[kept..].fill(Request::default());
        out.push((Step::Crash { lost: true }, next));
    }
}

/// What the standby lacks never was.
fn failover(state: &State, out: &mut Steps) {
    let Some(mut next) = spend(state, |left| &mut left.failovers) else { return };
    disconnect(&mut next);
    next.wal.fill(Request::default());
    out.push((Step::Failover, next));
}

/// All connections to the primary break. Answers that it sent may still arrive; so may requests, at whoever is the primary.
fn disconnect(state: &mut State) {
    for request in &mut state.net {
        match request.stage {
            Stage::Locked => *request = Request::default(),
            Stage::Sent => request.live = false,
            Stage::Committed | Stage::Visible | Stage::Answered => {}
        }
    }
}

/// The transaction is seen, and its client gets success with a warning. A warning is no answer (A17): it is as good as a lost
/// connection.
fn cancel(config: &Config, state: &State, out: &mut Steps) {
    for (at, entry) in state.log().iter().enumerate().filter(|(_, entry)| entry.stage == Stage::Committed) {
        let Some(mut next) = spend(state, |left| &mut left.cancels) else { return };
        (next.wal[at].stage, next.wal[at].live) = (Stage::Visible, false);
        if config.breaks(Mutant::CancelledWaitIsOk) {
            database::answer(&mut next, *entry);
        }
        out.push((Step::Cancel { kind: entry.kind, incarnation: entry.incarnation }, next));
    }
}

/// §2.2.16. What was never sent, or is known not to be applied, is withdrawn. What is in flight stays until it is settled; its
/// caller is told that nobody knows.
fn timeout(config: &Config, state: &State, out: &mut Steps) {
    for (at, op) in state.ops.iter().enumerate().filter(|(_, op)| op.answer == Answer::None) {
        let (place, answer) = match op.place {
            Place::Queued => (Place::Over, Answer::Fail),
            Place::InFlight if config.breaks(Mutant::SentIsFailed) => (Place::InFlight, Answer::Fail),
            Place::InFlight => (Place::InFlight, Answer::Unknown),
            Place::Ahead | Place::Over => continue,
        };
        let Some(mut next) = spend(state, |left| &mut left.timeouts) else { return };
        next.ops[at] = Op { place, answer, ..*op };
        out.push((Step::Timeout { op: at }, next));
    }
}
