//! The log of the primary: from a commit to the moment at which it is seen.
//!
//! Owns: who has the log up to where, what is waited for before a commit is seen and answered, what is forgotten. Does not own:
//! what a crash or a promotion makes of it (`outages`).

use std::collections::{BTreeMap, VecDeque};

use clawstore_core::mutant::Mutant;

use super::locks::Lock;
use super::tables::Change;
use super::{Answer, Record, Standby, Store, StoreEvent, Transaction};
use crate::simulation::context::Context;
use crate::simulation::trace::Who;

impl Store {
    /// Into the log: unseen, with its locks.
    pub(super) fn append(&mut self, context: &mut Context, number: u64, mut changes: Vec<Change>, answer: Answer) {
        let Some(transaction) = self.transactions.get_mut(&number) else { return };
        for change in &changes {
            // Of statements that wait for no lock: they have seen that it is free.
            if let Change::Key(key, _) = change {
                let lock = Lock::Key(*key);
                if !transaction.held.contains(&lock) && self.locks.take(lock, number) {
                    transaction.held.push(lock);
                }
            }
        }
        self.appended += 1;
        transaction.logged = Some((self.appended, answer));
        changes.shrink_to_fit();
        self.log.push_back(Record { number: self.appended, changes });
        self.waiting.push_back(number);
        context.note(Who::Store, "transaction {a} is in the log as record {b}", number, self.appended);
        let most = context.setup.disk;
        let work = self.work(context, most);
        context.tell_store(work, StoreEvent::OnDisk(self.appended));
    }

    pub(super) fn reached_disk(&mut self, context: &mut Context, number: u64) {
        let reached = self.log.iter().filter(|record| record.number > self.on_disk && record.number <= number);
        for change in reached.flat_map(|record| &record.changes) {
            self.disk.apply(change);
        }
        self.on_disk = self.on_disk.max(number);
        match self.standby {
            Standby::Streams => {
                let latency = context.setup.latency;
                let work = self.work(context, latency + 100);
                context.tell_store(work, StoreEvent::AtStandby(self.on_disk));
            }
            Standby::Absent | Standby::StandsStill => {}
        }
        if !self.waits_for_standby(context) {
            self.show_up_to(context, self.on_disk);
        }
        self.trim(context);
    }

    pub(super) fn reached_standby(&mut self, context: &mut Context, number: u64) {
        if self.standby != Standby::Streams {
            return;
        }
        let reached = self.log.iter().filter(|record| record.number > self.at_standby && record.number <= number);
        for change in reached.flat_map(|record| &record.changes) {
            self.copy.apply(change);
        }
        self.at_standby = self.at_standby.max(number);
        self.show_up_to(context, self.at_standby);
        self.trim(context);
    }

    pub(super) fn waits_for_standby(&self, context: &Context) -> bool {
        context.setup.has_standby && self.mutant != Some(Mutant::AsyncStandby)
    }

    /// Whatever has waited for the log up to there is over, in the order of the log.
    pub(super) fn show_up_to(&mut self, context: &mut Context, record: u64) {
        while let Some(&number) = self.waiting.front() {
            let logged = self.transactions.get(&number).and_then(|transaction| transaction.logged.as_ref());
            if logged.is_some_and(|(at, _)| *at > record) {
                return;
            }
            self.show(context, number);
        }
    }

    /// A transaction in the log becomes visible and is answered.
    pub(super) fn show(&mut self, context: &mut Context, number: u64) {
        if let Some(answer) = self.make_visible(context, number) {
            self.end(context, number, Ok(answer));
        }
    }

    pub(super) fn make_visible(&mut self, context: &mut Context, number: u64) -> Option<Answer> {
        self.waiting.retain(|waiting| *waiting != number);
        let (record, answer) = self.transactions.get_mut(&number)?.logged.take()?;
        let first = self.log.front()?.number;
        let record = self.log.get(usize::try_from(record - first).ok()?)?;
        for change in &record.changes {
            if let Change::Key(key, row) = change
                && row.entry.revision != self.tables.keys[*key].entry.revision
            {
                context.note(Who::Store, "key {a} has revision {b}", *key as u64, row.entry.revision);
            }
            self.tables.apply(change);
        }
        Some(answer)
    }

    /// Forgets what everybody has.
    pub(super) fn trim(&mut self, context: &Context) {
        let needs_standby = context.setup.has_standby;
        let done = if needs_standby { self.on_disk.min(self.at_standby) } else { self.on_disk };
        let waits = |record: &Record, waiting: &VecDeque<u64>, transactions: &BTreeMap<u64, Transaction>| {
            let at = |number: &u64| transactions.get(number).and_then(|transaction| transaction.logged.as_ref());
            waiting.front().and_then(at).is_some_and(|(at, _)| *at <= record.number)
        };
        while let Some(record) = self.log.front()
            && record.number <= done
            && !waits(record, &self.waiting, &self.transactions)
        {
            self.log.pop_front();
        }
    }
}
