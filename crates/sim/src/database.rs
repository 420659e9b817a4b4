//! What the database does with requests: locks, comparisons, the log, the standby.
//!
//! Owns: the meaning of the statements (`ownership-protocol.md` §2.3) and of a synchronous commit. Does not own: what
//! servers make of answers, faults.

use clawstore_core::mutant::Mutant;

use crate::config::Config;
use crate::invariants::Invariant;
use crate::state::{Kind, Outcome, Request, Stage, State, Tables};
use crate::step::{Step, Steps};

/// All steps of the database.
pub(crate) fn steps(config: &Config, state: &State, out: &mut Steps) {
    replicate(state, out);
    let now = state.visible();
    confirmed_read(config, state, &now, out);
    for (at, request) in state.net.iter().enumerate() {
        match (request.stage, request.kind) {
            (Stage::Sent, Kind::Flush) => begin_batch(config, state, &now, at, out),
            (Stage::Locked, _) => end_batch(config, state, &now, at, out),
            (Stage::Sent, Kind::Acquire) => acquire(config, state, &now, at, out),
            (Stage::Sent, Kind::Release) => release(config, state, &now, at, out),
            _ => {}
        }
    }
}

/// Transactions that hold locks: those that compare rows, and those that wait for the standby.
fn holders(state: &State) -> impl Iterator<Item = &Request> {
    let locked = state.net.iter().filter(|request| request.stage == Stage::Locked);
    locked.chain(state.log().iter().filter(|entry| entry.stage == Stage::Committed))
}

fn row_is_locked(state: &State) -> bool {
    holders(state).any(|holder| matches!(holder.kind, Kind::Flush | Kind::Acquire | Kind::Release))
}

fn lane_is_locked(state: &State, incarnation: u8) -> bool {
    let writes_lane = |holder: &Request| matches!(holder.kind, Kind::Flush | Kind::Replay);
    holders(state).any(|holder| writes_lane(holder) && holder.incarnation == incarnation)
}

/// Step 10, up to the locks. A batch that is there already is not applied; its record is the answer, with a commit as a
/// barrier: when the standby has that, it has the batch.
fn begin_batch(config: &Config, state: &State, now: &Tables, at: usize, out: &mut Steps) {
    let request = state.net[at];
    let Request { incarnation, seq, .. } = request;
    let lane = now.lanes[usize::from(incarnation)];
    if lane_is_locked(state, incarnation) {
        return;
    }
    if config.breaks(Mutant::LanesGoWithTheDead) && now.is_dead(incarnation) {
        refuse(state, at, Outcome::NoLane, out);
    } else if lane.seq == seq && lane.list == request.list {
        replay(
            config,
            state,
            at,
            out,
            if config.breaks(Mutant::BatchDoneOnly) { Outcome::Applied } else { lane.outcome },
        );
    } else if lane.seq + 1 != seq {
        not_in_order(config, state, at, out);
    } else if !row_is_locked(state) {
        let mut next = *state;
        next.net[at].stage = Stage::Locked;
        out.push((Step::Lock { incarnation, seq }, next));
    }
}

fn replay(config: &Config, state: &State, at: usize, out: &mut Steps, outcome: Outcome) {
    if config.breaks(Mutant::ReplayWithoutBarrier) {
        refuse(state, at, outcome, out);
    } else {
        commit(config, state, at, Request { kind: Kind::Replay, outcome, ..state.net[at] }, out);
    }
}

/// A number that is not next, or has another digest. A delayed copy gets that; one whose sender waits for it must not, as
/// long as every rule is kept (I7).
fn not_in_order(config: &Config, state: &State, at: usize, out: &mut Steps) {
    let live = state.net[at].live;
    refuse(state, at, Outcome::Over, out);
    if let Some((_, next)) = out.last_mut().filter(|_| live && config.mutant.is_none()) {
        next.broken = Some(Invariant::I7);
    }
}

/// Compares and writes, in one transaction with the lane's record. A batch that nobody waits for may also be rolled back.
fn end_batch(config: &Config, state: &State, now: &Tables, at: usize, out: &mut Steps) {
    let request = state.net[at];
    let fence_holds = !config.checks.fence || now.row.fence == request.fence;
    let version_holds = !config.checks.version || now.row.list.len() == request.base;
    let outcome = if fence_holds && version_holds { Outcome::Applied } else { Outcome::Fenced };
    commit(config, state, at, Request { outcome, ..request }, out);
    if let Some((_, next)) = out.last_mut()
        && config.mutant.is_none()
        && outcome == Outcome::Applied
        && !request.list.begins_with(now.row.list)
    {
        next.broken = Some(Invariant::I5);
    }
    if !request.live {
        let mut next = *state;
        next.take(at);
        out.push((Step::Abort { incarnation: request.incarnation, seq: request.seq }, next));
    }
}

/// Step 5. Never waits for a lock. Free is: no owner, a dead owner, the same fence, or the asker's own lease, which it lost
/// track of (a lost answer that it did not ask for again). A repeated acquisition commits as well: answered without, it shows a
/// value that a failover may take back.
fn acquire(config: &Config, state: &State, now: &Tables, at: usize, out: &mut Steps) {
    let request = state.net[at];
    if now.is_dead(request.incarnation) {
        refuse(state, at, Outcome::Over, out);
        return;
    }
    if row_is_locked(state) {
        return;
    }
    let owner = now.row.owner.checked_sub(1);
    let is_free = owner.is_none_or(|owner| owner == request.incarnation || now.is_dead(owner));
    if is_free || now.row.fence == request.fence {
        let granted = Request { outcome: Outcome::Granted, list: now.row.list, ..request };
        commit(config, state, at, granted, out);
    } else {
        refuse(state, at, Outcome::Held, out);
    }
}

/// Only what still has the fence is given back.
fn release(config: &Config, state: &State, now: &Tables, at: usize, out: &mut Steps) {
    if row_is_locked(state) {
        return;
    }
    if now.row.fence == state.net[at].fence {
        commit(config, state, at, state.net[at], out);
    } else {
        refuse(state, at, Outcome::Fenced, out);
    }
}

/// Somebody looks, and commits something as a barrier: when the standby has that, it has what was seen. The reader is
/// told at that very moment, and looks as soon as it asks: later answers and earlier questions promise less.
fn confirmed_read(config: &Config, state: &State, now: &Tables, out: &mut Steps) {
    if state.left.reads == 0 {
        return;
    }
    let mut next = *state;
    next.left.reads -= 1;
    let list = now.row.list;
    let entry = Request { kind: Kind::Read, live: true, base: state.shown.len(), list, ..Request::default() };
    if config.breaks(Mutant::ReadWithoutBarrier) {
        answer(&mut next, entry);
    } else {
        next.append(Request { stage: Stage::Committed, ..entry });
    }
    out.push((Step::Read { list }, next));
}

/// Answers without a commit.
fn refuse(state: &State, at: usize, outcome: Outcome, out: &mut Steps) {
    let mut next = *state;
    let request = next.take(at);
    if request.live {
        next.put(Request { outcome, stage: Stage::Answered, fence: 0, ..request });
    }
    out.push((Step::Refuse { kind: request.kind, incarnation: request.incarnation, outcome }, next));
}

/// Into the log of the primary. Nobody sees it, and its locks are kept, until the standby has it.
fn commit(config: &Config, state: &State, at: usize, entry: Request, out: &mut Steps) {
    let mut next = *state;
    next.take(at);
    // What a transaction does not need any more would only tell equal states apart.
    let entry = match entry.kind {
        Kind::Flush | Kind::Replay => Request { fence: 0, base: 0, ..entry },
        _ => entry,
    };
    if config.breaks(Mutant::AsyncStandby) {
        next.append(Request { stage: Stage::Visible, live: false, ..entry });
        answer(&mut next, entry);
    } else {
        next.append(Request { stage: Stage::Committed, ..entry });
    }
    out.push((Step::Commit { kind: entry.kind, incarnation: entry.incarnation, outcome: entry.outcome }, next));
}

/// The standby has one more transaction; if that was waited for, it is over.
fn replicate(state: &State, out: &mut Steps) {
    let Some(entry) = state.log().first().copied() else { return };
    let mut next = *state;
    next.wal.rotate_left(1);
    if let Some(last) = next.wal.last_mut() {
        *last = Request::default();
    }
    next.standby.apply(&entry);
    answer(&mut next, entry);
    out.push((Step::Replicate { kind: entry.kind, incarnation: entry.incarnation }, next));
}

/// Success goes to whoever still waits. A confirmed read must have seen all that was shown before it began.
pub(crate) fn answer(state: &mut State, entry: Request) {
    if !entry.live {
        return;
    }
    if entry.kind != Kind::Read {
        state.put(Request { stage: Stage::Answered, fence: 0, ..entry });
    } else if entry.list.len() < entry.base {
        state.broken = Some(Invariant::Stale);
    } else {
        state.show(entry.list);
    }
}
