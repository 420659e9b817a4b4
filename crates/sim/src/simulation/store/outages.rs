//! What goes wrong in the database.
//!
//! Owns: a crash with recovery, the promotion of the standby, a standby that stands still, cancelled waits, a wrong death, and
//! the end of each. Does not own: when they happen (`faults`).

use std::time::Duration;

use clawstore_core::backend::Incarnation;
use clawstore_core::mutant::Mutant;

use super::locks::{Lock, Locks};
use super::tables::{IncarnationRow, Row};
use super::{Record, Standby, Store, StoreEvent, statements};
use crate::simulation::context::Context;
use crate::simulation::trace::Who;

impl Store {
    /// The primary crashes and recovers: what is on its disk is seen by everyone, whether the standby has it or not; what only
    /// hurried is gone. False, as of all of these: nothing happened.
    pub fn crash(&mut self, context: &mut Context, down: Duration) -> bool {
        if !self.is_up {
            return false;
        }
        context.note(
            Who::Store,
            "crashes; the log is on the disk up to record {a} of {b}",
            self.on_disk,
            self.appended,
        );
        self.disconnect(context);
        self.log.retain(|record| record.number <= self.on_disk);
        self.appended = self.on_disk;
        self.tables = self.disk.clone();
        context.tell_store(down, StoreEvent::IsBack);
        match self.standby {
            // What recovery has shown goes to the standby as everything does.
            Standby::Streams => context.tell_store(down, StoreEvent::AtStandby(self.on_disk)),
            Standby::StandsStill => {
                let later = down + context.rng.millis(300..3_000);
                context.tell_store(later, StoreEvent::StandbyGoesOn);
            }
            Standby::Absent => context.tell_store(down, StoreEvent::StandbyIsBack),
        }
        true
    }

    /// The standby takes over: what it lacks never was. A new standby comes later. Without one, the primary crashes.
    pub fn fail_over(&mut self, context: &mut Context, down: Duration) -> bool {
        if self.standby == Standby::Absent {
            return self.crash(context, down);
        }
        context.note(
            Who::Store,
            "the standby takes over with the log up to record {a} of {b}",
            self.at_standby,
            self.appended,
        );
        self.disconnect(context);
        self.log.clear();
        (self.appended, self.on_disk) = (self.at_standby, self.at_standby);
        self.copy.timeline += 1;
        (self.tables, self.disk) = (self.copy.clone(), self.copy.clone());
        self.standby = Standby::Absent;
        context.tell_store(down, StoreEvent::IsBack);
        let later = down + context.rng.millis(50..2_500);
        context.tell_store(later, StoreEvent::StandbyIsBack);
        true
    }

    fn disconnect(&mut self, context: &mut Context) {
        self.is_up = false;
        context.store_starts += 1;
        self.locks = Locks::default();
        self.connected.clear();
        self.waiting.clear();
        for transaction in std::mem::take(&mut self.transactions).into_values() {
            context.lose(transaction.request.me, transaction.request.number);
        }
    }

    pub(super) fn is_back(&mut self, context: &mut Context) {
        context.note(Who::Store, "takes connections", 0, 0);
        self.is_up = true;
    }

    pub(super) fn standby_is_back(&mut self, context: &mut Context) {
        if !context.setup.has_standby || self.standby != Standby::Absent {
            return;
        }
        context.note(Who::Store, "a new standby has the log up to record {a}", self.on_disk, 0);
        self.standby = Standby::Streams;
        self.copy = self.disk.clone();
        self.at_standby = self.on_disk;
        self.show_up_to(context, self.at_standby);
        self.trim(context);
    }

    /// The standby is there and gets nothing for a while.
    pub fn stall_standby(&mut self, context: &mut Context, wait: Duration) -> bool {
        let is_there = self.standby == Standby::Streams;
        if is_there {
            context.note(Who::Store, "the standby stands still at record {a}", self.at_standby, 0);
            self.standby = Standby::StandsStill;
            context.tell_store(wait, StoreEvent::StandbyGoesOn);
        }
        is_there
    }

    pub(super) fn standby_goes_on(&mut self, context: &mut Context) {
        if self.standby == Standby::StandsStill {
            self.standby = Standby::Streams;
            self.reached_standby(context, self.on_disk);
        }
    }

    /// A wait for the standby is cancelled: the transaction is seen, its client gets a success with a warning. That is no
    /// acknowledgement: it is as good as a lost connection.
    pub fn cancel_wait(&mut self, context: &mut Context) -> bool {
        let on_disk = |number: &u64| {
            let logged = self.transactions.get(number).and_then(|transaction| transaction.logged.as_ref());
            logged.is_some_and(|(record, _)| *record <= self.on_disk)
        };
        let cancelled: Vec<u64> = self.waiting.iter().copied().filter(|number| on_disk(number)).collect();
        if cancelled.is_empty() {
            return false;
        }
        let number = *context.rng.pick(&cancelled);
        context.note(Who::Store, "the wait of transaction {a} is cancelled", number, 0);
        if self.mutant == Some(Mutant::CancelledWaitIsOk) {
            self.show(context, number);
        } else if self.make_visible(context, number).is_some() {
            self.hang_up(context, number);
        }
        true
    }

    /// Ends a transaction whose client learns nothing.
    fn hang_up(&mut self, context: &mut Context, number: u64) {
        let Some(transaction) = self.transactions.remove(&number) else { return };
        for lock in transaction.held {
            if let Some(next) = self.locks.release(lock, number) {
                context.tell_store(Duration::from_micros(10), StoreEvent::Proceeds(next));
            }
        }
        context.lose(transaction.request.me, transaction.request.number);
    }

    /// Somebody who lives is declared dead.
    pub fn declare_dead(&mut self, context: &mut Context, incarnation: Incarnation) -> bool {
        let is_locked = self.locks.is_held(Lock::Incarnation(incarnation));
        if !self.is_up || is_locked || !self.tables.is_alive(incarnation) {
            return false;
        }
        context.note(Who::Store, "incarnation {a} is declared dead, wrongly", incarnation.0, 0);
        let changes = statements::death(&self.tables, incarnation, self.mutant);
        for change in &changes {
            self.tables.apply(change);
        }
        self.appended += 1;
        self.log.push_back(Record { number: self.appended, changes });
        context.tell_store(Duration::from_millis(1), StoreEvent::OnDisk(self.appended));
        true
    }

    /// A server has lost its connections, as far as the database can tell.
    pub fn connection_is_lost(&mut self, server: usize) {
        let listeners = &self.listeners;
        self.connected.retain(|incarnation| listeners.get(incarnation).is_none_or(|me| me.server != server));
    }

    /// From now on everything takes so many times as long.
    pub fn slow_down(&mut self, slowness: u32) {
        self.slowness = slowness;
    }

    /// What is stored under each key, and who owns it.
    pub fn rows(&self) -> &[Row] {
        &self.tables.keys
    }

    /// All incarnations, with what is known of them.
    pub fn incarnations(&self) -> impl Iterator<Item = (Incarnation, IncarnationRow)> {
        self.tables.incarnations.iter().map(|(id, row)| (*id, *row))
    }
}
