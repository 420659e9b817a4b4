//! What a server does: calls, the lease, batches, answers.
//!
//! Owns: the rules of a process (`ownership-protocol.md` §2.2, steps 5 to 7, 9, and 11 to 13). Does not own: what the
//! database does with a request, faults.

use clawstore_core::mutant::Mutant;

use crate::config::{Config, OPS_MAX};
use crate::state::{Answer, GENERATIONS, Kind, Lease, List, Outcome, Place, Request, SERVERS, Stage, State};
use crate::step::{Step, Steps};

/// All steps of both servers.
pub(crate) fn steps(config: &Config, state: &State, out: &mut Steps) {
    for server in (0..SERVERS).filter(|&server| !state.servers[server].killed) {
        call(state, server, out);
        ask(state, server, out);
        send(config, state, server, out);
        release(state, server, out);
        speculative_read(config, state, server, out);
        receive(config, state, server, out);
        rejoin(config, state, server, out);
    }
}

/// Operations are called in the order of their numbers: another order is the same with other names.
fn call(state: &State, server: usize, out: &mut Steps) {
    let Some(op) = state.ops.iter().position(|op| op.place == Place::Ahead).filter(|_| state.left.ops > 0) else {
        return;
    };
    let mut next = *state;
    next.left.ops -= 1;
    next.ops[op].server = u8::try_from(server).unwrap_or(u8::MAX);
    next.ops[op].place = Place::Queued;
    out.push((Step::Call { server, op }, next));
}

/// Step 5. Only writes acquire, and only while nothing of the key is unsettled (I8). A lost answer is asked for again with
/// the same fence; or the server gives up and asks later with another.
fn ask(state: &State, server: usize, out: &mut Steps) {
    let this = state.servers[server];
    let incarnation = state.incarnation(server);
    let waits = state.awaited(incarnation).any(|request| request.kind == Kind::Acquire);
    let wants = state.ops_in(server, Place::Queued).next().is_some();
    if this.lease == Lease::Held || waits || !wants || state.is_unsettled(server) || state.left.asks == 0 {
        return;
    }
    let again = (this.lease == Lease::Asked).then_some(this.fence);
    for fence in again.into_iter().chain([state.fresh_fence()]) {
        let mut next = *state;
        next.left.asks -= 1;
        (next.servers[server].lease, next.servers[server].fence) = (Lease::Asked, fence);
        next.put(Request { kind: Kind::Acquire, incarnation, live: true, fence, ..Request::default() });
        out.push((Step::Ask { incarnation, fence }, next));
    }
}

/// Steps 9, 10 and 13. A new batch takes the oldest queued operations, as many as it likes. While one is in flight only the
/// identical one is sent, and only after its connection was lost.
fn send(config: &Config, state: &State, server: usize, out: &mut Steps) {
    let incarnation = state.incarnation(server);
    let waits = state.awaited(incarnation).any(|request| matches!(request.kind, Kind::Flush | Kind::Replay));
    if state.servers[server].lease != Lease::Held || waits {
        return;
    }
    if !state.is_unsettled(server) {
        let mut taken = *state;
        for op in state.ops_in(server, Place::Queued) {
            taken.ops[op].place = Place::InFlight;
            send_in_flight(&taken, server, out);
        }
    } else if config.breaks(Mutant::UnknownByReading) {
        look_up(config, state, server, out);
    } else {
        send_in_flight(state, server, out);
    }
}

fn send_in_flight(state: &State, server: usize, out: &mut Steps) {
    if state.left.sends == 0 {
        return;
    }
    let this = state.servers[server];
    let (seq, fence, base) = (this.seq + 1, this.fence, this.durable.len());
    let list = state.ops_in(server, Place::InFlight).fold(this.durable, List::and);
    let incarnation = state.incarnation(server);
    let mut next = *state;
    next.left.sends -= 1;
    next.put(Request { kind: Kind::Flush, incarnation, live: true, seq, fence, base, list, ..Request::default() });
    out.push((Step::Send { incarnation, seq, fence, base, list }, next));
}

/// Steps 6 and 13: a lease goes back only when nothing is unsettled (I8). Nobody waits for the answer: whoever wants
/// the key again asks with another fence.
fn release(state: &State, server: usize, out: &mut Steps) {
    let this = state.servers[server];
    if this.lease != Lease::Held || state.is_unsettled(server) {
        return;
    }
    let mut next = *state;
    drop_lease(&mut next, server);
    let incarnation = state.incarnation(server);
    next.put(Request { kind: Kind::Release, incarnation, fence: this.fence, ..Request::default() });
    out.push((Step::Release { incarnation, fence: this.fence }, next));
}

/// Step 7, broken: a read shows what is accepted. Kept, reads show the durable value of the owner: that counts as shown from
/// the moment at which the owner has it, as a read may come at once.
fn speculative_read(config: &Config, state: &State, server: usize, out: &mut Steps) {
    let this = state.servers[server];
    let accepted = state.ops_in(server, Place::InFlight).chain(state.ops_in(server, Place::Queued));
    let list = accepted.fold(this.durable, List::and);
    if config.breaks(Mutant::SpeculativeReads) && this.lease == Lease::Held && list.len() > state.shown.len() {
        let mut next = *state;
        next.show(list);
        out.push((Step::CachedRead { server, list }, next));
    }
}

/// An answer arrives whose connection is not lost.
fn receive(config: &Config, state: &State, server: usize, out: &mut Steps) {
    for at in 0..state.net.len() {
        let answer = state.net[at];
        if answer.stage != Stage::Answered || answer.incarnation != state.incarnation(server) {
            continue;
        }
        let mut next = *state;
        next.take(at);
        match answer.kind {
            Kind::Flush | Kind::Replay => settle(config, &mut next, server, &answer),
            Kind::Acquire => acquired(&mut next, server, &answer),
            Kind::None | Kind::Release | Kind::Read | Kind::Death => {}
        }
        let Request { kind, incarnation, outcome, list, .. } = answer;
        out.push((Step::Receive { kind, incarnation, outcome, list }, next));
    }
}

/// Step 11, and the end of 13.
fn settle(config: &Config, state: &mut State, server: usize, answer: &Request) {
    state.servers[server].seq = answer.seq;
    match answer.outcome {
        Outcome::Applied => {
            state.servers[server].durable = answer.list;
            for op in 0..OPS_MAX {
                end(state, server, op, Answer::Ok);
            }
            state.show(answer.list);
        }
        Outcome::NoLane if config.breaks(Mutant::LanesGoWithTheDead) => {
            // "There is no record, so it was not applied."
            requeue(state, server);
            begin_again(state, server);
        }
        Outcome::Over | Outcome::NoLane => {
            for op in 0..OPS_MAX {
                end(state, server, op, Answer::Unknown);
            }
            begin_again(state, server);
        }
        Outcome::None | Outcome::Fenced | Outcome::Granted | Outcome::Held => {
            requeue(state, server);
            drop_lease(state, server);
        }
    }
}

/// Ends an operation in flight. The caller keeps the first answer that it got.
fn end(state: &mut State, server: usize, op: usize, answer: Answer) {
    let this = &mut state.ops[op];
    if usize::from(this.server) == server && this.place == Place::InFlight {
        this.place = Place::Over;
        if this.answer == Answer::None {
            this.answer = answer;
        }
    }
}

/// The batch surely was not applied: its operations run again, but for those whose callers have been answered.
fn requeue(state: &mut State, server: usize) {
    for op in 0..OPS_MAX {
        let this = &mut state.ops[op];
        if usize::from(this.server) == server && this.place == Place::InFlight {
            this.place = if this.answer == Answer::None { Place::Queued } else { Place::Over };
        }
    }
}

fn acquired(state: &mut State, server: usize, answer: &Request) {
    if answer.outcome == Outcome::Granted {
        state.servers[server].lease = Lease::Held;
        state.servers[server].durable = answer.list;
        state.show(answer.list);
    } else {
        drop_lease(state, server);
    }
}

fn drop_lease(state: &mut State, server: usize) {
    let this = &mut state.servers[server];
    (this.lease, this.fence, this.durable) = (Lease::None, 0, List::default());
}

/// Step 12: what is in flight is settled in the old name first.
fn rejoin(config: &Config, state: &State, server: usize, out: &mut Steps) {
    let incarnation = state.incarnation(server);
    let settled = !state.is_unsettled(server) || config.breaks(Mutant::RerunBeforeSettling);
    let may = state.servers[server].generation + 1 < GENERATIONS && settled;
    if may && state.visible().is_dead(incarnation) {
        let mut next = *state;
        requeue(&mut next, server);
        begin_again(&mut next, server);
        out.push((Step::Rejoin { server }, next));
    }
}

/// A new incarnation, with a lane of its own and no lease. Nobody waits for answers in the old name.
fn begin_again(state: &mut State, server: usize) {
    hang_up(state, state.incarnation(server));
    drop_lease(state, server);
    let this = &mut state.servers[server];
    if this.generation + 1 < GENERATIONS {
        (this.generation, this.seq) = (this.generation + 1, 0);
    }
}

/// All connections of an incarnation are gone. What was sent may still take effect.
pub(crate) fn hang_up(state: &mut State, incarnation: u8) {
    let requests = state.net.iter_mut().chain(&mut state.wal).filter(|request| request.kind != Kind::Read);
    for request in requests.filter(|request| request.incarnation == incarnation) {
        request.live = false;
        if request.stage == Stage::Answered {
            *request = Request::default();
        }
    }
}

/// The outcome is taken from what can be seen now.
fn look_up(config: &Config, state: &State, server: usize, out: &mut Steps) {
    let this = state.servers[server];
    let lane = state.visible().lanes[usize::from(state.incarnation(server))];
    let mut next = *state;
    let found = lane.seq == this.seq + 1;
    if found {
        let answer = Request { seq: lane.seq, outcome: lane.outcome, list: lane.list, ..Request::default() };
        settle(config, &mut next, server, &answer);
    } else {
        requeue(&mut next, server);
    }
    out.push((Step::LookUp { server, found }, next));
}
