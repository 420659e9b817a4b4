//! What the statements of the product do, step by step.
//!
//! Owns: their meaning (`ownership-protocol.md` §2.3; `migrations/` and `queries/` of the Postgres backend): what each looks
//! at when it begins, and what it does to incarnations; leases are in `leasing`, batches in `batches`. Does not own: time,
//! visibility, the log (`store`).

use std::collections::BTreeSet;
use std::sync::Arc;

use clawstore_core::EntryKey;
use clawstore_core::backend::{
    BackendError, BackendErrorKind, Beat, BeatAnswer, Incarnation, LaneId, LeaseRequest, Peer,
};
use clawstore_core::mutant::Mutant;

use super::locks::{Lock, Locks};
use super::tables::{Change, IncarnationRow, LaneRow, Row, Tables};
use super::{Answer, Ask, Seen, Transaction, batches, leasing};
use crate::simulation::setup::number_of;

/// What a transaction does next.
pub(super) enum Step {
    /// It needs this lock.
    Lock(Lock),
    /// It commits, and answers when that is safe.
    Commit(Vec<Change>, Answer),
    /// It commits without waiting for anything: what it changes may be lost with a crash.
    CommitHurriedly(Vec<Change>, Answer),
    /// It ends without a change.
    End(Result<Answer, BackendError>),
}

/// How the database of a run is set up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Lanes of an incarnation.
    pub(super) lanes: u16,
    /// There is a standby, or will be again, and commits wait for it.
    pub(super) waits_for_standby: bool,
    pub(super) mutant: Option<Mutant>,
}

/// Decides as of `tables`: what is visible now.
pub(super) fn step(tables: &Tables, locks: &Locks, transaction: &Transaction, rules: Rules) -> Step {
    let Rules { lanes, waits_for_standby, mutant } = rules;
    match &transaction.request.ask {
        Ask::Join(incarnation) => join(tables, transaction, *incarnation, lanes),
        Ask::Leave(incarnation) => leave(tables, transaction, *incarnation),
        Ask::Beat(beat) => beat_once(tables, transaction, beat),
        Ask::DeclareDead(by, seen, _) => declare_dead(tables, transaction, *by, seen, mutant),
        Ask::Acquire(by, asks) => leasing::acquire(tables, locks, transaction, *by, asks, waits_for_standby),
        Ask::Release(leases) => leasing::release(tables, transaction, leases),
        Ask::ListWanted(of) => Step::End(Ok(Answer::Wanted(wanted_of(tables, *of)))),
        // Who hears them is told when they are committed.
        Ask::Hint(_) => Step::CommitHurriedly(Vec::new(), Answer::Done),
        Ask::Commit(batch) => batches::commit(tables, transaction, batch, mutant),
        Ask::Read(_) => read(transaction, rules),
        Ask::LookUp(batch) => batches::look_up(tables, batch),
    }
}

pub(super) fn over(text: &str) -> Step {
    Step::End(Err(BackendError::new(BackendErrorKind::Over, text)))
}

fn join(tables: &Tables, transaction: &Transaction, incarnation: Incarnation, lanes: u16) -> Step {
    let lock = Lock::Incarnation(incarnation);
    if !transaction.held.contains(&lock) {
        return Step::Lock(lock);
    }
    if tables.incarnations.contains_key(&incarnation) {
        return Step::Commit(Vec::new(), Answer::Done);
    }
    let mut changes = vec![Change::Incarnation(incarnation, IncarnationRow { is_alive: true, beats: 0 })];
    changes.extend((0..lanes).map(|number| Change::Lane(LaneId { incarnation, number }, Some(LaneRow::default()))));
    Step::Commit(changes, Answer::Done)
}

fn leave(tables: &Tables, transaction: &Transaction, incarnation: Incarnation) -> Step {
    let lock = Lock::Incarnation(incarnation);
    match tables.incarnations.get(&incarnation).filter(|row| row.is_alive) {
        None => Step::End(Ok(Answer::Done)),
        Some(_) if !transaction.held.contains(&lock) => Step::Lock(lock),
        Some(row) => {
            let change = Change::Incarnation(incarnation, IncarnationRow { is_alive: false, ..*row });
            Step::Commit(vec![change], Answer::Done)
        }
    }
}

fn beat_once(tables: &Tables, transaction: &Transaction, beat: &Beat) -> Step {
    let me = beat.incarnation;
    let lock = Lock::Incarnation(me);
    if !transaction.held.contains(&lock) {
        return Step::Lock(lock);
    }
    let Some(row) = tables.incarnations.get(&me).filter(|row| row.is_alive) else {
        return Step::End(Ok(Answer::Beaten(BeatAnswer { timeline: tables.timeline, ..BeatAnswer::default() })));
    };
    let alive = || tables.incarnations.iter().filter(|(_, row)| row.is_alive).map(|(id, _)| *id);
    let circle = alive().filter(|id| *id > me).chain(alive().filter(|id| *id < me));
    let mut watched: Vec<Incarnation> = circle.take(3).collect();
    watched.extend(beat.watch.iter().filter(|id| **id != me && tables.is_alive(**id)));
    watched.sort_unstable();
    watched.dedup();
    let peers =
        watched.into_iter().map(|incarnation| Peer { incarnation, beats: tables.incarnations[&incarnation].beats });
    let lanes = beat.lanes.iter().map(|mark| Some(tables.lanes.get(&mark.lane)?.seq));
    let answer = BeatAnswer {
        alive: true,
        peers: peers.collect(),
        wanted: wanted_of(tables, me),
        timeline: tables.timeline,
        lanes: lanes.collect(),
    };
    let change = Change::Incarnation(me, IncarnationRow { beats: row.beats + 1, ..*row });
    Step::CommitHurriedly(vec![change], Answer::Beaten(answer))
}

/// Leases of an incarnation that others wait for.
fn wanted_of(tables: &Tables, me: Incarnation) -> Vec<LeaseRequest> {
    let wanted = |(key, row): (&EntryKey, &Row)| -> Option<LeaseRequest> {
        let (_, of) = row.wanted?;
        let is_mine = of == me && row.owner == Some(me);
        Some(LeaseRequest { key: key.clone(), fence: row.fence.filter(|_| is_mine)? })
    };
    tables.names.iter().zip(&tables.keys).filter_map(wanted).collect()
}

fn declare_dead(
    tables: &Tables,
    transaction: &Transaction,
    by: Incarnation,
    seen: &[Peer],
    mutant: Option<Mutant>,
) -> Step {
    // A fast death is for those without a connection.
    let Seen::Connected(spared) = &transaction.seen else { return Step::End(Ok(Answer::Dead(Vec::new()))) };
    let has_not_moved = |peer: &Peer| {
        let row = tables.incarnations.get(&peer.incarnation);
        row.is_some_and(|row| row.is_alive && row.beats == peer.beats) && !spared.contains(&peer.incarnation)
    };
    let mut locks = seen.iter().map(|peer| Lock::Incarnation(peer.incarnation));
    if let Some(lock) = locks.find(|lock| !transaction.held.contains(lock)) {
        return Step::Lock(lock);
    }
    let dead: Vec<_> = seen.iter().filter(|peer| tables.is_alive(by) && has_not_moved(peer)).collect();
    let changes = dead.iter().flat_map(|peer| death(tables, peer.incarnation, mutant)).collect();
    let are_dead = seen.iter().map(|peer| peer.incarnation);
    let are_dead = are_dead.filter(|id| !tables.is_alive(*id) || dead.iter().any(|peer| peer.incarnation == *id));
    Step::CommitHurriedly(changes, Answer::Dead(are_dead.collect()))
}

/// What a death changes: all keys of the dead are free with one row.
pub(super) fn death(tables: &Tables, incarnation: Incarnation, mutant: Option<Mutant>) -> Vec<Change> {
    let beats = tables.incarnations.get(&incarnation).map_or(0, |row| row.beats);
    let mut changes = vec![Change::Incarnation(incarnation, IncarnationRow { is_alive: false, beats })];
    if mutant == Some(Mutant::LanesGoWithTheDead) {
        let lanes = tables.lanes.keys().filter(|lane| lane.incarnation == incarnation);
        changes.extend(lanes.map(|lane| Change::Lane(*lane, None)));
    }
    changes
}

/// What was visible when the read began; with a standby, behind a commit of nothing as a barrier: when the standby has that, it has
/// what is shown.
fn read(transaction: &Transaction, rules: Rules) -> Step {
    let Seen::Entries(entries) = &transaction.seen else { return Step::End(Ok(Answer::Done)) };
    let answer = Answer::Entries(entries.clone());
    match rules.waits_for_standby && rules.mutant != Some(Mutant::ReadWithoutBarrier) {
        true => Step::Commit(Vec::new(), answer),
        false => Step::End(Ok(answer)),
    }
}

/// What a statement sees of other rows than those it locks: as they were when it began.
pub(super) fn look(tables: &Tables, connected: &BTreeSet<Incarnation>, ask: &Ask) -> Seen {
    match ask {
        Ask::Acquire(by, asks) => {
            let is_held = |row: &Row| row.owner.is_some_and(|owner| tables.is_alive(owner));
            let is_wanted = |row: &Row| row.wanted.is_some_and(|(wanted, _)| tables.is_alive(wanted));
            let rows = asks.iter().map(|ask| tables.keys[number_of(&ask.key)].clone());
            let rows =
                rows.map(|row| (is_held(&row), is_wanted(&row), row)).map(|(held, wanted, row)| (row, held, wanted));
            Seen::Leases { is_asker_alive: tables.is_alive(*by), rows: rows.collect() }
        }
        Ask::Read(keys) => Seen::Entries(keys.iter().map(|key| Arc::clone(&tables.keys[*key].entry)).collect()),
        Ask::DeclareDead(_, _, is_fast) => Seen::Connected(if *is_fast { connected.clone() } else { BTreeSet::new() }),
        _ => Seen::Nothing,
    }
}
