//! Statements about leases.
//!
//! Owns: asking for keys, taking them over, giving them back, sharing them. Does not own: what a fence guards (`batches`).

use std::sync::Arc;

use clawstore_core::Entry;
use clawstore_core::backend::{Fence, GiveBack, Incarnation, LeaseAnswer, LeaseAsk, Peer};

use super::locks::{Lock, Locks};
use super::statements::{Step, over};
use super::tables::{Change, Row, Tables};
use super::{Answer, Seen, Transaction};
use crate::simulation::setup::number_of;

/// Waits for nobody: what is locked, or has changed since the statement began, is busy. A grant waits for its commit; with a standby
/// any answer that shows a state does: what it shows must not vanish at a failover. That a key is wanted may be forgotten.
pub(super) fn acquire(
    tables: &Tables,
    locks: &Locks,
    transaction: &Transaction,
    by: Incarnation,
    asks: &[LeaseAsk],
    waits_for_standby: bool,
) -> Step {
    let Seen::Leases { is_asker_alive: true, rows } = &transaction.seen else {
        return over("the incarnation is not alive");
    };
    let (mut changes, mut grants) = (Vec::new(), false);
    let mut answers = Vec::with_capacity(asks.len());
    for (ask, (seen, was_held, was_wanted)) in asks.iter().zip(rows) {
        let number = number_of(&ask.key);
        let row = &tables.keys[number];
        let takes_over = ask.instead_of.is_some() && seen.fence == ask.instead_of;
        let is_mine = seen.owner == Some(by);
        let entry = || Entry::clone(&seen.entry);
        if *was_held && is_mine && seen.fence == Some(ask.fence) {
            answers.push(LeaseAnswer::Granted(entry()));
            continue;
        }
        if let Some(fence) = seen.fence.filter(|_| seen.is_shared && !takes_over) {
            answers.push(LeaseAnswer::Shared { entry: entry(), fence });
            continue;
        }
        let is_free = is_mine || !was_held || takes_over;
        let has_changed = row.is_there != seen.is_there || row.owner != seen.owner || row.fence != seen.fence;
        if !is_free && *was_wanted {
            answers.push(held(tables, seen));
        } else if has_changed || locks.is_held(Lock::Key(number)) {
            answers.push(LeaseAnswer::Busy);
        } else if is_free {
            grants = true;
            let (fence, owner) = (Some(ask.fence), Some(by));
            let entry = Arc::clone(&row.entry);
            answers.push(LeaseAnswer::Granted(Entry::clone(&entry)));
            changes
                .push(Change::Key(number, Row { is_there: true, entry, fence, is_shared: false, owner, wanted: None }));
        } else {
            let wanted = row.owner.map(|owner| (by, owner));
            changes.push(Change::Key(number, Row { wanted, ..row.clone() }));
            answers.push(held(tables, seen));
        }
    }
    let shows = |answer: &LeaseAnswer| matches!(answer, LeaseAnswer::Granted(_) | LeaseAnswer::Shared { .. });
    if grants || (waits_for_standby && answers.iter().any(shows)) {
        return Step::Commit(changes, Answer::Acquired(answers));
    }
    Step::CommitHurriedly(changes, Answer::Acquired(answers))
}

fn held(tables: &Tables, seen: &Row) -> LeaseAnswer {
    let incarnation = seen.owner.unwrap_or_default();
    let beats = tables.incarnations.get(&incarnation).map_or(0, |row| row.beats);
    LeaseAnswer::Held { owner: Peer { incarnation, beats }, fence: seen.fence.unwrap_or_default() }
}

/// Only what still has the fence is given back, or shared from now on. A key that was never written is forgotten. Waits for nothing:
/// if a crash loses it, the key is its owner's again, who does not know that.
pub(super) fn release(tables: &Tables, transaction: &Transaction, leases: &[GiveBack]) -> Step {
    let mut leases: Vec<_> = leases.iter().map(|lease| (number_of(&lease.key), lease)).collect();
    leases.sort_unstable_by_key(|(number, _)| *number);
    leases.retain(|(number, lease)| holds(&tables.keys[*number], lease.fence));
    let mut locks = leases.iter().map(|(number, _)| Lock::Key(*number));
    if let Some(lock) = locks.find(|lock| !transaction.held.contains(lock)) {
        return Step::Lock(lock);
    }
    let mut askers: Vec<_> = leases.iter().filter_map(|(number, _)| Some(tables.keys[*number].wanted?.0)).collect();
    askers.sort_unstable();
    askers.dedup();
    let free = |(number, lease): &(usize, &GiveBack)| {
        let entry = Arc::clone(&tables.keys[*number].entry);
        let is_there = entry.revision > 0 || lease.share.is_some();
        let (fence, is_shared) = (lease.share, lease.share.is_some());
        Change::Key(*number, Row { is_there, entry, fence, is_shared, owner: None, wanted: None })
    };
    Step::CommitHurriedly(leases.iter().map(free).collect(), Answer::Released(askers))
}

fn holds(row: &Row, fence: Fence) -> bool {
    row.fence == Some(fence) && !row.is_shared
}
