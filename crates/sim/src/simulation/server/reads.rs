//! Reads from the database, many keys at a time (mirrors `actors::reads`).
//!
//! Owns: gathering what is waiting into one request, at most two at once; landing flights. Does not own: when a flight may be
//! joined (`calls`), deadlines of those who wait (`sweep`).

use std::collections::VecDeque;
use std::sync::Arc;

use clawstore_core::backend::{BackendError, BackendErrorKind};
use clawstore_core::clock::Moment;
use clawstore_core::key_machine::{Input, Op};
use clawstore_core::ops::Reply;
use clawstore_core::{CallError, Entry};

use super::port::{Confirm, Port, VmEvent};
use super::slot::Activation;
use super::{Awaited, CALL_DEADLINE, Process};
use crate::simulation::context::Context;
use crate::simulation::store::{Answer, Ask};

/// Reads at once.
const READS_AT_ONCE: usize = 2;

/// A key that waits to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    pub(super) key: usize,
    pub(super) purpose: Purpose,
}

/// What for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    /// For those on the slot's flight of this number.
    Flight(u64),
    /// For a question of the machine of this actor.
    Confirm(u64, u64),
}

#[derive(Debug, Default)]
pub(super) struct Reader {
    waiting: VecDeque<Job>,
    on_the_way: usize,
}

impl Process {
    pub(super) fn start_read(&mut self, context: &mut Context, job: Job) {
        self.reader.waiting.push_back(job);
        self.send_reads(context);
    }

    fn send_reads(&mut self, context: &mut Context) {
        if self.reader.on_the_way >= READS_AT_ONCE || self.reader.waiting.is_empty() {
            return;
        }
        self.reader.on_the_way += 1;
        let jobs: Vec<Job> = self.reader.waiting.drain(..).collect();
        let keys = jobs.iter().map(|job| job.key).collect();
        let asked = context.now;
        self.ask(context, CALL_DEADLINE, Ask::Read(keys), Awaited::Read(jobs, asked));
    }

    pub(super) fn have_read(
        &mut self,
        context: &mut Context,
        jobs: Vec<Job>,
        asked: Moment,
        answer: Result<Answer, BackendError>,
    ) {
        self.reader.on_the_way -= 1;
        let entries = match answer {
            Ok(Answer::Entries(entries)) => Ok(entries),
            Ok(_) => Err(BackendError::new(BackendErrorKind::Internal, "no answer to a read")),
            Err(error) => Err(error),
        };
        for (at, job) in jobs.into_iter().enumerate() {
            let result = match &entries {
                Ok(entries) => Ok(Arc::clone(&entries[at])),
                Err(error) => Err(CallError::unavailable(error)),
            };
            match job.purpose {
                Purpose::Flight(number) => self.finish_flight(context, job.key, number, result, asked),
                Purpose::Confirm(actor, question) => {
                    let revision = result.map(|entry| entry.revision);
                    drop(self.cast_key(context, actor, Input::Confirmed(question, revision)));
                }
            }
        }
        self.send_reads(context);
    }

    fn finish_flight(
        &mut self,
        context: &mut Context,
        key: usize,
        number: u64,
        result: Result<Arc<Entry>, CallError>,
        asked: Moment,
    ) {
        let flights = &mut self.slots[key].flights;
        let Some(place) = flights.iter().position(|flight| flight.number == number) else { return };
        let flight = flights.swap_remove(place);
        let result = result.map(|entry| self.land(context, key, flight.generation, entry, asked));
        for (_, mut port) in flight.waiters {
            port.answer(result.clone().map(Reply::Entry));
        }
    }

    /// Answers a read of a shared key with what the store has now.
    pub(super) fn look(&mut self, context: &mut Context, key: usize, op: Box<Op<Port>>) {
        self.board_flight(context, key, op.deadline, op.caller, false);
    }

    /// Asks the store which revision of a shared key it has.
    pub(super) fn confirm(&mut self, context: &mut Context, actor: u64, key: usize, question: u64) {
        self.start_read(context, Job { key, purpose: Purpose::Confirm(actor, question) });
    }

    /// What has been read, as it is shown. Of a key without an actor it is left for the next readers, unless the key has been
    /// active meanwhile.
    fn land(
        &mut self,
        context: &mut Context,
        key: usize,
        generation: u64,
        entry: Arc<Entry>,
        asked: Moment,
    ) -> Arc<Entry> {
        let slot = &mut self.slots[key];
        match slot.activation {
            Activation::Vacant => {
                // Reads may land in another order than they began, and after an activation that has left something newer.
                let is_news = match slot.cached_at {
                    Some(at) => (entry.revision, asked) > (slot.durable.revision, at),
                    None => slot.generation == generation,
                };
                if is_news {
                    (slot.durable, slot.cached_at) = (Arc::clone(&entry), Some(asked));
                }
            }
            Activation::Live(_) if slot.shared.is_shared() => {
                if entry.revision > slot.durable.revision {
                    slot.shared.others_wrote(asked);
                    slot.durable = Arc::clone(&entry);
                }
                slot.cached_at = Some(asked);
                return Arc::clone(&slot.durable);
            }
            // A write of this process was answered while the read was on its way.
            Activation::Live(_) if slot.durable.revision > entry.revision => return Arc::clone(&slot.durable),
            // Owned here, with a stored state that nobody here has written: it is somebody else's.
            Activation::Live(actor) if entry.revision > slot.durable.revision && !slot.has_unsettled() => {
                drop(self.cast_key(context, actor, Input::Lost));
            }
            // What is granted may be older, if others write the key too.
            Activation::Activating(_) | Activation::Leaving(..) => slot.shown = slot.shown.max(entry.revision),
            Activation::Live(_) => {}
        }
        entry
    }

    /// The owner's answer counts while the key is surely owned; else what the store has now, whoever owns the key.
    pub(super) fn confirm_read(&mut self, context: &mut Context, confirm: Confirm) {
        let Confirm { key, op, use_cache, deadline, inbox, result } = confirm;
        if self.is_surely_owned(context, key, use_cache) {
            return inbox.push(&self.shared, VmEvent::Done { op, result });
        }
        let port = Port::new(key, op, &inbox, &self.slots[key].counts, &self.shared);
        self.board_flight(context, key, deadline, port, false);
    }
}
