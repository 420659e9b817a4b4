//! Starting again when a write failed, and leaving.
//!
//! Owns: asking the flusher for what was built on the failed write, waiting for the awaited answer, and making the calls
//! again, or leaving them to the key's next machine. Does not own: acceptance (`key_machine`), what has failed
//! (`write_batch`).

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Caller, Effect, Head, KeyMachine, Op};
use crate::clock::Moment;
use crate::entry::Entry;

impl<C: Caller> KeyMachine<C> {
    pub(super) fn recall(&mut self, out: &mut Vec<Effect<C>>) {
        if !self.recalling {
            self.recalling = true;
            self.recalls += 1;
            out.push(Effect::Recall(self.recalls));
        }
    }

    pub(super) fn recalled(
        &mut self,
        now: Moment,
        number: u64,
        ops: Vec<Box<Op<C>>>,
        durable: Option<Arc<Entry>>,
        out: &mut Vec<Effect<C>>,
    ) {
        self.recalled.extend(ops);
        self.stale |= durable.is_none();
        match durable {
            _ if number != self.recalls => {}
            Some(entry) if !self.stale && !self.handing_over => self.resume(now, entry, out),
            _ => {
                self.leaving = true;
                out.push(Effect::Leaving);
            }
        }
    }

    /// Gives back all that waits here, in order: what was accepted once goes before what VMs hold.
    pub(super) fn leave(&mut self, out: &mut Vec<Effect<C>>) {
        // Not if a fault came between: the recall is made once more then, and `Leaving` with it.
        if std::mem::take(&mut self.leaving) {
            let recalled = std::mem::take(&mut self.recalled).into_iter().chain(self.take_unconfirmed());
            let waiting = recalled.chain(std::mem::take(&mut self.queue));
            let held = std::mem::take(&mut self.held).into_iter().flat_map(|held| held.ops);
            out.push(Effect::Left { ops: waiting.chain(held).collect(), lost: self.stale });
        }
    }

    /// Starts again on the durable state with what was recalled, then with what came meanwhile.
    fn resume(&mut self, now: Moment, entry: Arc<Entry>, out: &mut Vec<Effect<C>>) {
        if !self.recalling {
            return;
        }
        self.recalling = false;
        self.durable = entry.revision;
        self.head = Head::of_run(entry, self.recalls);
        self.turn = None;
        self.settle_all();
        let recalled = std::mem::take(&mut self.recalled).into_iter().chain(self.take_unconfirmed());
        let queue = std::mem::take(&mut self.queue);
        self.admit_recalled(now, recalled.chain(queue).collect(), out);
        self.ask_again(now, out);
    }

    /// Recalled calls were accepted once: they go before anything their VM holds.
    fn admit_recalled(&mut self, now: Moment, queue: VecDeque<Box<Op<C>>>, out: &mut Vec<Effect<C>>) {
        let held = std::mem::take(&mut self.held);
        self.admit_all(now, queue, out);
        for mut old in held {
            old.ask = None;
            match self.held.iter_mut().find(|h| h.vm() == old.vm()) {
                Some(new) => new.ops.extend(old.ops),
                None => self.held.push(old),
            }
        }
    }
}
