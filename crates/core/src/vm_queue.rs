//! What one VM has called and not had answered, key by key, and what it therefore expects each key to be.
//!
//! Owns: the foretold head of a key with unanswered updates (the published head with the VM's own calls since then), so that transforms
//! of a whole queue run in one go, and running that queue again on another head (`decisions.md` 8).
//! Does not own: running a transform (handed in), acceptance (`key_machine`), answers.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::FixedState;

use crate::clock::Timestamp;
use crate::entry_key::{EntryKey, StoreKind};
use crate::key_machine::{Head, Rerun, Writer};
use crate::ops::{Request, Set, Update};

/// Runs a transform on a head. `Ok(None)` is a cancelled update; `Err` ends the call in the VM.
pub trait Transform {
    /// Names a transform that may have to run again.
    type Handle;
    /// Runs it for the call `op`.
    ///
    /// # Errors
    /// `TransformFailed` if it raised, yielded, ran too long or returned something that cannot be stored.
    fn run(&mut self, op: u64, handle: &Self::Handle, head: &Head) -> Result<Option<Set>, TransformFailed>;
}

/// A transform gave no result; its call has been answered in the VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransformFailed;

#[derive(Debug)]
enum Call<H> {
    Plain(Request),
    Update(H),
}

#[derive(Debug)]
struct Unanswered<H> {
    writer: Writer,
    at: Timestamp,
    call: Call<H>,
}

#[derive(Debug)]
struct KeyView<H> {
    /// What the next call will find; `None` while the key's state is not known here.
    head: Option<Head>,
    /// Plain writes before the first of `calls`: how many, for none of them runs again.
    before: usize,
    calls: VecDeque<Unanswered<H>>,
}

impl<H> Default for KeyView<H> {
    fn default() -> Self {
        Self { head: None, before: 0, calls: VecDeque::new() }
    }
}

/// The unanswered updates of one VM, with the plain writes that follow them, and how many went before.
#[derive(Debug)]
pub struct VmQueue<H> {
    keys: HashMap<EntryKey, KeyView<H>, FixedState>,
}

impl<H> Default for VmQueue<H> {
    fn default() -> Self {
        Self { keys: HashMap::default() }
    }
}

impl<H> VmQueue<H> {
    /// The head that the VM's next call on `key` will find, if it can be told: `published` is asked when the VM has
    /// nothing unanswered there. It may lack a write that is on its way, on which a transform could fail for good.
    pub fn foresee(&self, key: &EntryKey, published: impl FnOnce() -> Option<Head>) -> Option<Head> {
        match self.keys.get(key) {
            Some(view) => view.head.clone(),
            None => published(),
        }
    }

    /// Notes a plain write that is submitted now. It is kept if updates before it may have to run again, else counted.
    pub fn push_plain(&mut self, key: &EntryKey, writer: Writer, at: Timestamp, request: &Request) {
        let view = self.keys.entry(key.clone()).or_default();
        if view.calls.is_empty() {
            view.before += 1;
            return;
        }
        view.head = view.head.take().map(|head| head.after(key.store.kind, writer, request, at).unwrap_or(head));
        view.calls.push_back(Unanswered { writer, at, call: Call::Plain(request.clone()) });
    }

    /// Notes an update that is submitted now; `update` is what its transform made of the foreseen head.
    pub fn push_update(
        &mut self,
        key: &EntryKey,
        writer: Writer,
        at: Timestamp,
        handle: H,
        update: &Update,
        found: Option<Head>,
    ) {
        let head = found.map(|head| after_update(key.store.kind, &head, writer, at, update.clone()));
        let view = self.keys.entry(key.clone()).or_default();
        view.head = head;
        view.calls.push_back(Unanswered { writer, at, call: Call::Update(handle) });
    }

    /// A call that was pushed has been answered. Gives back its transform, if it had one.
    pub fn answered(&mut self, key: &EntryKey, op: u64) -> Option<H> {
        let view = self.keys.get_mut(key)?;
        let at = view.calls.iter().position(|call| call.writer.op == op);
        let call = at.and_then(|at| view.calls.remove(at));
        if call.is_none() {
            view.before = view.before.saturating_sub(1);
        }
        if view.calls.is_empty() {
            view.head = None;
            if view.before == 0 {
                self.keys.remove(key);
            }
        }
        match call?.call {
            Call::Update(handle) => Some(handle),
            Call::Plain(_) => None,
        }
    }

    /// Keys on which an update is unanswered, or a write behind one.
    pub fn keys(&self) -> impl Iterator<Item = &EntryKey> {
        self.keys.iter().filter(|(_, view)| !view.calls.is_empty()).map(|(key, _)| key)
    }

    /// Takes a key's calls out to be run again. Nothing may be pushed for the key until they are back.
    pub fn detach(&mut self, key: &EntryKey) -> Option<Detached<H>> {
        self.keys.remove_entry(key).map(|(key, view)| Detached { key, view })
    }

    /// Puts them back.
    pub fn attach(&mut self, detached: Detached<H>) {
        self.keys.insert(detached.key, detached.view);
    }
}

/// The unanswered calls of one key, taken out so that transforms can run while the queue is free.
#[derive(Debug)]
pub struct Detached<H> {
    key: EntryKey,
    view: KeyView<H>,
}

impl<H> Detached<H> {
    /// Runs the update `from` and every later one again, on `head`, and returns their new results. None if `from` has ended
    /// here: those after it may be on their way to be accepted as they are, so that none of them may end here as failed.
    pub fn rerun(&mut self, from: u64, mut head: Head, transform: &mut impl Transform<Handle = H>) -> Vec<Rerun> {
        let (kind, mut reruns) = (self.key.store.kind, Vec::new());
        if self.view.calls.iter().all(|call| call.writer.op != from) {
            return reruns;
        }
        for call in self.view.calls.iter().filter(|call| call.writer.op >= from) {
            match &call.call {
                Call::Plain(request) => head = head.after(kind, call.writer, request, call.at).unwrap_or(head),
                Call::Update(handle) => {
                    let op = call.writer.op;
                    let Ok(result) = transform.run(op, handle, &head) else {
                        reruns.push(Rerun { op, update: None });
                        continue;
                    };
                    let update = Update { base: Some(head.base()), result };
                    head = after_update(kind, &head, call.writer, call.at, update.clone());
                    reruns.push(Rerun { op, update: Some(update) });
                }
            }
        }
        self.view.head = Some(head);
        reruns
    }
}

fn after_update(kind: StoreKind, head: &Head, writer: Writer, at: Timestamp, update: Update) -> Head {
    head.after(kind, writer, &Request::Update(update), at).unwrap_or_else(|_| head.clone())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::entry::Attributes;
    use crate::entry_key::{GameId, StoreId};
    use crate::key_machine::VmId;
    use crate::value::Value;

    struct AddOne(usize);
    impl Transform for AddOne {
        type Handle = ();
        fn run(&mut self, _op: u64, (): &(), head: &Head) -> Result<Option<Set>, TransformFailed> {
            self.0 += 1;
            let old = head.entry.value.as_ref().and_then(Value::as_integer).unwrap_or(0);
            Ok(Some(Set { value: Value::integer(old + 1), attributes: Attributes::default() }))
        }
    }

    #[test]
    fn a_queue_of_updates_reruns_in_one_go_on_each_others_results() {
        let key = EntryKey::new(&Arc::new(StoreId::global(GameId::Number(1))), b"k").expect("legal");
        let mut queue = VmQueue::default();
        let writer = |op| Writer { vm: VmId(1), op };
        assert!(queue.foresee(&key, || None).is_none(), "a cold key is not known");
        for op in 0..3 {
            queue.push_update(&key, writer(op), Timestamp::default(), (), &Update::NOT_RUN, None);
        }
        let mut transform = AddOne(0);
        let stored = Head::stored(Arc::new(Entry::default()));
        let mut detached = queue.detach(&key).expect("calls are open");
        let reruns = detached.rerun(1, stored.clone(), &mut transform);
        queue.attach(detached);
        assert_eq!(transform.0, 2, "the call before the held one is not run again");
        let bases: Vec<_> = reruns.iter().map(|r| (r.op, r.update.as_ref().and_then(|u| u.base))).collect();
        let first = Request::Update(reruns[0].update.clone().expect("it ran"));
        let after = stored.after(key.store.kind, writer(1), &first, Timestamp::default()).expect("a set");
        assert_eq!(bases, [(1, Some(stored.base())), (2, Some(after.base()))]);
        let seen = queue.foresee(&key, || None).expect("known now");
        assert_eq!(seen.entry.value, Some(Value::integer(2)));
        for op in 0..3 {
            assert!(queue.answered(&key, op).is_some());
        }
        assert!(queue.foresee(&key, || None).is_none(), "nothing unanswered: the published head counts again");
    }

    #[test]
    fn an_ask_for_a_call_that_has_ended_runs_nothing() {
        let key = EntryKey::new(&Arc::new(StoreId::global(GameId::Number(1))), b"k").expect("legal");
        let (mut queue, mut transform) = (VmQueue::default(), AddOne(0));
        let writer = Writer { vm: VmId(1), op: 1 };
        queue.push_update(&key, writer, Timestamp::default(), (), &Update::NOT_RUN, None);
        let mut detached = queue.detach(&key).expect("a call is open");
        let head = || Head::stored(Arc::new(Entry::default()));
        assert_eq!(detached.rerun(0, head(), &mut transform), [], "call 1 may be accepted as it is");
        assert_eq!((transform.0, detached.rerun(1, head(), &mut transform).len()), (0, 1));
    }

    #[test]
    fn nothing_is_foretold_behind_a_write_whose_result_is_not_known() {
        let key = EntryKey::new(&Arc::new(StoreId::global(GameId::Number(1))), b"k").expect("legal");
        let mut queue = VmQueue::default();
        let writer = |op| Writer { vm: VmId(1), op };
        let published = || Some(Head::stored(Arc::new(Entry::default())));
        for op in [1, 2] {
            queue.push_plain(&key, writer(op), Timestamp::default(), &Request::Remove);
        }
        assert!(queue.answered(&key, 1).is_none() && queue.foresee(&key, published).is_none());
        assert_eq!(queue.keys().count(), 0, "nothing runs again");
        queue.push_update(&key, writer(3), Timestamp::default(), (), &Update::NOT_RUN, None);
        assert!(queue.answered(&key, 3).is_some(), "its transform has failed");
        assert!(queue.foresee(&key, published).is_none(), "the first write is still on its way");
        assert!(queue.answered(&key, 2).is_none() && queue.foresee(&key, published).is_some());
        assert!(queue.keys.is_empty());
    }

    use crate::entry::Entry;
}
