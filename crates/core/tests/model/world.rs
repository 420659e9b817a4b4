//! A world of one key: VMs, machine, flusher, lane and a model store, with message queues between them. Another server
//! takes the key at times: the machine leaves, and the next one begins with a fresh fence.
//!
//! Every value is a list of call tags; an update appends its tag, a set starts a new list. The store keeps every
//! revision, so that the whole history can be checked: each acknowledged write is in it exactly once, on exactly the
//! state that it read; no failed one is; one VM's calls are in the order it made them; nothing is shown before it is
//! durable.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use clawstore_core::backend::{
    BackendError, BackendErrorKind, Batch, Fence, Incarnation, LaneId, Previous, RowOutcome,
};
use clawstore_core::clock::{Moment, Timestamp};
use clawstore_core::entry::{Attributes, Entry};
use clawstore_core::error::Outcome;
use clawstore_core::key_machine::{Caller, Effect, Head, Input, Item, KeyMachine, Op, Owned, Rerun, VmId, Writer};
use clawstore_core::lane::{Lane, LaneEffect};
use clawstore_core::ops::{CallResult, Reply, Request, Set, Update};
use clawstore_core::versioning::Retention;
use clawstore_core::vm_queue::{Transform, TransformFailed, VmQueue};
use clawstore_core::write_batch::{AfterSettle, PendingWrites, Recalled, RowResult};
use clawstore_core::{EntryKey, GameId, StoreId, StoreKind, Value};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    None,
    Unavailable,
    LostReply,
    LostRequest,
    /// Another server takes the key and writes.
    OutsideWrite,
    /// Another server takes the key and does not write.
    Stolen,
    /// The store no longer knows the lane.
    LaneGone,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Update(usize),
    Cancel(usize),
    Set(usize),
    PoisonSet(usize),
    /// `RemoveVersionAsync` of what is durable now, which may not be the newest by then.
    Erase(usize),
    Get(usize),
    DeliverToMachine,
    DeliverToFlusher,
    StartBatch,
    FinishBatch(Fault),
    PollVm(usize),
    FailInVm(usize),
    Advance(u64),
    MachineFault,
    HandOver,
    FindLost,
    DropVm(usize),
}

/// Tags from here on poison the batch that holds them.
const POISON: u64 = 1_000_000;

#[derive(Debug, Clone)]
struct Port {
    gone: Rc<Cell<bool>>,
}
impl Caller for Port {
    fn is_gone(&self) -> bool {
        self.gone.get()
    }
}

enum ToFlusher {
    Submit(Item<Port>),
    Recall(u64),
}

/// Appends its tag, or cancels, or fails once.
#[derive(Default)]
struct Append {
    fails: bool,
}
impl Transform for Append {
    type Handle = Option<u64>;
    fn run(&mut self, _op: u64, tag: &Option<u64>, head: &Head) -> Result<Option<Set>, TransformFailed> {
        if std::mem::take(&mut self.fails) {
            return Err(TransformFailed);
        }
        Ok(tag.map(|tag| {
            let mut list = tags(&head.entry);
            list.push(tag);
            set(&list)
        }))
    }
}

fn set(list: &[u64]) -> Set {
    let value = Value::new(serde_json::to_vec(list).expect("numbers")).expect("short");
    Set { value, attributes: Attributes::default() }
}

fn tags(entry: &Entry) -> Vec<u64> {
    entry.value.as_ref().map_or_else(Vec::new, |v| serde_json::from_slice(v.json()).expect("a list of tags"))
}

struct Vm {
    gone: Rc<Cell<bool>>,
    queue: VmQueue<Option<u64>>,
    asked: VecDeque<(u64, u64, Head)>,
    next_op: u64,
}

#[derive(Debug)]
struct Call {
    kind: char,
    answers: Vec<CallResult>,
    /// Its transform failed: it has ended in its VM, and must never appear.
    failed_in_vm: bool,
    /// Revision that was durable when the first answer came.
    durable_then: u64,
}

pub(crate) struct World {
    key: EntryKey,
    now: u64,
    vms: Vec<Vm>,
    machine: Option<KeyMachine<Port>>,
    to_machine: VecDeque<Input<Port>>,
    to_flusher: VecDeque<ToFlusher>,
    flusher: PendingWrites<Port>,
    lane: Lane,
    sent: Option<Arc<Batch>>,
    /// Every revision ever durable, by number; the last is the state.
    history: BTreeMap<u64, Arc<Entry>>,
    last_batch: Option<(u64, u64, Vec<RowOutcome>)>,
    /// The lane that `last_batch` is of; the store knows no other.
    lane_id: LaneId,
    /// Who owns the key, as the store knows it.
    fence: u64,
    machines: u32,
    /// What reads see (the durable cell).
    cell: Arc<Entry>,
    calls: BTreeMap<Writer, Call>,
}

impl Default for World {
    fn default() -> Self {
        let vm = || Vm { gone: Rc::default(), queue: VmQueue::default(), asked: VecDeque::new(), next_op: 0 };
        Self {
            key: EntryKey::new(&Arc::new(StoreId::global(GameId::Number(1))), b"k").expect("legal"),
            now: 0,
            vms: vec![vm(), vm(), vm()],
            machine: Some(KeyMachine::new(StoreKind::Standard, Retention::EveryWrite, Owned::default())),
            to_machine: VecDeque::new(),
            to_flusher: VecDeque::new(),
            flusher: PendingWrites::default(),
            lane: Lane::default(),
            sent: None,
            history: BTreeMap::new(),
            last_batch: None,
            lane_id: LaneId::default(),
            fence: 0,
            machines: 0,
            cell: Arc::default(),
            calls: BTreeMap::new(),
        }
    }
}

impl World {
    fn moment(&self) -> Moment {
        Moment::after_start(Duration::from_millis(self.now))
    }

    pub(crate) fn apply(&mut self, step: Step) {
        match step {
            Step::Update(vm) => self.update(vm, true),
            Step::Cancel(vm) => self.update(vm, false),
            Step::Set(vm) => self.plain(vm, 's'),
            Step::PoisonSet(vm) => self.plain(vm, 'p'),
            Step::Erase(vm) => self.plain(vm, 'e'),
            Step::Get(vm) => self.plain(vm, 'g'),
            Step::DeliverToMachine => self.deliver_to_machine(),
            Step::DeliverToFlusher => self.deliver_to_flusher(),
            Step::StartBatch => self.start_batch(),
            Step::FinishBatch(fault) => self.finish_batch(fault),
            Step::PollVm(vm) => self.poll_vm(vm, false),
            Step::FailInVm(vm) => self.poll_vm(vm, true),
            Step::Advance(ms) => self.advance(ms),
            Step::MachineFault => self.machine_fault(),
            Step::HandOver => self.to_machine.push_back(Input::HandOver),
            Step::FindLost => self.to_machine.push_back(Input::Lost),
            Step::DropVm(vm) => self.drop_vm(vm),
        }
    }

    fn writer(&mut self, vm: usize, kind: char) -> Option<Writer> {
        let state = &mut self.vms[vm];
        if state.gone.get() {
            return None;
        }
        let writer = Writer { vm: VmId(vm as u64), op: state.next_op };
        state.next_op += 1;
        self.calls.insert(writer, Call { kind, answers: Vec::new(), failed_in_vm: false, durable_then: 0 });
        Some(writer)
    }

    fn tag(writer: Writer, poison: bool) -> u64 {
        writer.vm.0 * 10_000 + writer.op + if poison { POISON } else { 0 }
    }

    fn foresee(&self, vm: usize) -> Option<Head> {
        let machine = self.machine.as_ref().expect("alive");
        self.vms[vm].queue.foresee(&self.key, || Some(machine.head().clone()))
    }

    fn update(&mut self, vm: usize, write: bool) {
        let Some(writer) = self.writer(vm, if write { 'u' } else { 'c' }) else { return };
        let handle = write.then(|| Self::tag(writer, false));
        let found = self.foresee(vm);
        let update = found.as_ref().map_or(Update::NOT_RUN, |head| Update {
            base: Some(head.base()),
            result: Append::default().run(writer.op, &handle, head).expect("never fails"),
        });
        let at = Timestamp::from_unix_ms(self.now);
        self.vms[vm].queue.push_update(&self.key, writer, at, handle, &update, found);
        self.submit(writer, Request::Update(update));
    }

    fn plain(&mut self, vm: usize, kind: char) {
        let Some(writer) = self.writer(vm, kind) else { return };
        let request = match kind {
            'g' => Request::Get,
            'e' => Request::RemoveVersion(self.cell.version()),
            _ => Request::Set(set(&[Self::tag(writer, kind == 'p')])),
        };
        if request.is_write() {
            let at = Timestamp::from_unix_ms(self.now);
            self.vms[vm].queue.push_plain(&self.key, writer, at, &request);
        }
        self.submit(writer, request);
    }

    fn submit(&mut self, writer: Writer, request: Request) {
        let op = Op {
            writer,
            at: Timestamp::from_unix_ms(self.now),
            deadline: self.moment() + Duration::from_secs(30),
            request,
            caller: Port { gone: Rc::clone(&self.vms[writer.vm.0 as usize].gone) },
        };
        self.to_machine.push_back(Input::Call(Box::new(op)));
    }

    fn deliver_to_machine(&mut self) {
        let Some(input) = self.to_machine.pop_front() else { return };
        let mut effects = Vec::new();
        let (now, durable) = (self.moment(), self.cell.revision);
        let machine = self.machine.as_mut().expect("alive");
        machine.step(now, Input::Persisted(durable), &mut effects);
        machine.step(now, input, &mut effects);
        self.execute(effects);
    }

    fn execute(&mut self, effects: Vec<Effect<Port>>) {
        for effect in effects {
            match effect {
                Effect::Submit(item) => self.to_flusher.push_back(ToFlusher::Submit(item)),
                Effect::Answer(mut op, result) => self.answer(&mut op, result),
                Effect::AskRerun(writer, ask) => {
                    let head = self.machine.as_ref().expect("alive").head().clone();
                    self.vms[writer.vm.0 as usize].asked.push_back((writer.op, ask, head));
                }
                Effect::Recall(number) => self.to_flusher.push_back(ToFlusher::Recall(number)),
                Effect::Leaving => self.to_machine.push_back(Input::Leave),
                Effect::Left { ops, .. } => self.next_machine(ops.into_iter().map(Input::Call)),
                Effect::WakeAt(_) => {}
                Effect::Look(_) | Effect::Confirm(_) => panic!("the key is not shared"),
            }
        }
    }

    /// The key is acquired again: what was left is made on what is stored, before what came meanwhile.
    fn next_machine(&mut self, ops: impl Iterator<Item = Input<Port>>) {
        assert!(self.flusher.is_empty(), "I8: something of the key is on its way");
        assert!(self.machine.as_ref().is_some_and(|machine| machine.held(VmId(0)).is_none()), "it keeps nothing");
        self.machines += 1;
        self.fence += 1;
        self.cell = self.stored();
        let owned =
            Owned { entry: self.stored(), fence: Fence(self.fence), generation: self.machines, ..Owned::default() };
        self.machine = Some(KeyMachine::new(StoreKind::Standard, Retention::EveryWrite, owned));
        let later = std::mem::take(&mut self.to_machine);
        let is_kept = |input: &Input<Port>| matches!(input, Input::Call(_) | Input::Rerun(..) | Input::VmGone(_));
        self.to_machine = ops.chain(later.into_iter().filter(is_kept)).collect();
    }

    fn answer(&mut self, op: &mut Op<Port>, result: CallResult) {
        let durable = self.history.keys().last().copied().unwrap_or(0);
        let call = self.calls.get_mut(&op.writer).expect("only calls are answered");
        if call.answers.is_empty() {
            call.durable_then = durable;
            self.vms[op.writer.vm.0 as usize].queue.answered(&self.key, op.writer.op);
        }
        call.answers.push(result);
    }

    fn with_flusher<R>(
        &mut self,
        f: impl FnOnce(&mut PendingWrites<Port>, &mut dyn FnMut(&mut Op<Port>, CallResult)) -> R,
    ) -> R {
        let mut flusher = std::mem::take(&mut self.flusher);
        let result = f(&mut flusher, &mut |op, result| self.answer(op, result));
        self.flusher = flusher;
        result
    }

    fn recalled(&mut self, recalled: Recalled<Port>) {
        let durable = (!recalled.reload).then(|| Arc::clone(&self.cell));
        self.to_machine.push_back(Input::Recalled(recalled.number, recalled.ops, durable));
    }

    fn deliver_to_flusher(&mut self) {
        match self.to_flusher.pop_front() {
            None => {}
            Some(ToFlusher::Submit(item)) => {
                let key = self.key.clone();
                self.with_flusher(|flusher, answer| flusher.push(&key, item, answer));
            }
            Some(ToFlusher::Recall(number)) => {
                if let Some(recalled) = self.flusher.recall(&self.key, number) {
                    self.recalled(recalled);
                }
            }
        }
    }

    fn start_batch(&mut self) {
        if self.sent.is_some() || !self.lane.is_idle() {
            return;
        }
        let rows = self.flusher.take(8, 10_000, true);
        if !rows.is_empty() {
            let effects = self.lane.start(rows);
            self.lane_effects(effects);
        }
    }

    fn lane_effects(&mut self, effects: Vec<LaneEffect>) {
        for effect in effects {
            match effect {
                LaneEffect::Send(batch) => self.sent = Some(batch),
                LaneEffect::ResendAfter(_) => {
                    let effect = self.lane.resend();
                    self.lane_effects(effect.into_iter().collect());
                }
                LaneEffect::Rest(_) => {}
                LaneEffect::Over => {
                    self.lane_id.incarnation = Incarnation(self.lane_id.incarnation.0 + 1);
                    self.last_batch = None;
                    self.lane.rejoin(self.lane_id);
                }
                LaneEffect::Settle(key, result) => self.settle(&key, result),
            }
        }
    }

    fn settle(&mut self, key: &EntryKey, result: RowResult) {
        let mut cell = Arc::clone(&self.cell);
        let AfterSettle { broken, recalled } = self.with_flusher(|flusher, answer| {
            let mut publish = |writes: &mut dyn Iterator<Item = (&Op<Port>, &Arc<Entry>)>| {
                cell = writes.last().map(|(_, entry)| Arc::clone(entry)).expect("a row has a write");
            };
            flusher.settle(key, result, &mut publish, answer)
        });
        self.cell = cell;
        if broken {
            self.to_machine.push_back(Input::Broken);
        }
        if let Some(recalled) = recalled {
            self.recalled(recalled);
        }
    }

    fn stored(&self) -> Arc<Entry> {
        self.history.values().last().cloned().unwrap_or_default()
    }

    fn finish_batch(&mut self, fault: Fault) {
        let Some(batch) = self.sent.take() else { return };
        let is_new = self.last_batch.as_ref().is_none_or(|last| last.0 != batch.seq);
        if matches!(fault, Fault::OutsideWrite | Fault::Stolen) && is_new {
            self.fence += 1;
        }
        if matches!(fault, Fault::OutsideWrite) && is_new {
            let outside = self.stored().successor(Some(set(&[]).value), Attributes::default(), Timestamp::default());
            self.history.insert(outside.revision, Arc::new(outside));
        }
        let lost = |message| Err(BackendError::new(BackendErrorKind::Unknown, message));
        let result = match fault {
            Fault::Unavailable => Err(BackendError::new(BackendErrorKind::Unavailable, "busy")),
            Fault::LaneGone => Err(BackendError::new(BackendErrorKind::Over, "no such lane")),
            Fault::LostRequest => lost("lost request"),
            Fault::LostReply => {
                let _ = self.commit(&batch);
                lost("lost reply")
            }
            _ => self.commit(&batch),
        };
        let effects = self.lane.outcome(result);
        self.lane_effects(effects);
    }

    fn commit(&mut self, batch: &Batch) -> Result<Vec<RowOutcome>, BackendError> {
        assert_eq!(batch.lane, self.lane_id, "a batch of another lane");
        if let Some((seq, digest, outcomes)) = &self.last_batch
            && *seq == batch.seq
        {
            assert_eq!(*digest, batch.digest, "I7: equal numbers, equal content");
            return Ok(outcomes.clone());
        }
        let poisoned = |entry: &Arc<Entry>| tags(entry).iter().any(|&tag| tag >= POISON);
        if batch.rows.iter().any(|row| poisoned(&row.entry) || row.kept.iter().any(poisoned)) {
            return Err(BackendError::new(BackendErrorKind::Invalid, "poison"));
        }
        let mut outcomes = Vec::new();
        for row in &batch.rows {
            let fits = row.fence == Fence(self.fence) && row.base == self.stored().revision;
            let next = row.kept.first().unwrap_or(&row.entry);
            // Kept ones are in between: only the first write after the base can erase it.
            let erases = row.previous == Previous::Erased;
            assert!(!erases || next.value.is_none() || row.kept.is_empty(), "what erases a version leaves a tombstone");
            outcomes.push(if fits { RowOutcome::Committed } else { RowOutcome::Fenced });
            if fits {
                for entry in row.kept.iter().chain([&row.entry]) {
                    self.history.insert(entry.revision, Arc::clone(entry));
                }
            }
        }
        self.last_batch = Some((batch.seq, batch.digest, outcomes.clone()));
        Ok(outcomes)
    }

    /// Answers one ask, as a VM does; `fails` makes the first transform that runs fail.
    fn poll_vm(&mut self, vm: usize, fails: bool) {
        if self.vms[vm].gone.get() {
            return;
        }
        let Some((op, ask, head)) = self.vms[vm].asked.pop_front() else { return };
        let mut transform = Append { fails };
        let queue = &mut self.vms[vm].queue;
        let reruns: Vec<Rerun> = queue.detach(&self.key).map_or_else(Vec::new, |mut calls| {
            let reruns = calls.rerun(op, head, &mut transform);
            queue.attach(calls);
            reruns
        });
        for failed in reruns.iter().filter(|rerun| rerun.update.is_none()) {
            let writer = Writer { vm: VmId(vm as u64), op: failed.op };
            let call = self.calls.get_mut(&writer).expect("it was called");
            call.failed_in_vm = true;
            self.vms[vm].queue.answered(&self.key, failed.op);
        }
        self.to_machine.push_back(Input::Rerun(VmId(vm as u64), ask, reruns));
    }

    fn advance(&mut self, ms: u64) {
        self.now += ms;
        let now = self.moment();
        let broken = self.with_flusher(|flusher, answer| flusher.expire(now, answer));
        self.to_machine.extend(broken.iter().map(|_| Input::Broken));
        self.to_machine.push_back(Input::Tick);
    }

    fn machine_fault(&mut self) {
        let mut effects = Vec::new();
        self.machine = self.machine.take().map(|machine| machine.rebuild(&mut effects));
        self.execute(effects);
    }

    fn drop_vm(&mut self, vm: usize) {
        if !self.vms[vm].gone.replace(true) {
            self.to_machine.push_back(Input::VmGone(VmId(vm as u64)));
        }
    }

    /// Runs without faults until nothing moves.
    pub(crate) fn settle_all(&mut self) {
        for _ in 0..2_000 {
            if self.is_quiet() {
                return;
            }
            for vm in 0..self.vms.len() {
                self.poll_vm(vm, false);
            }
            self.deliver_to_machine();
            self.deliver_to_flusher();
            self.start_batch();
            self.finish_batch(Fault::None);
        }
    }

    fn is_quiet(&self) -> bool {
        let asked = self.vms.iter().any(|vm| !vm.asked.is_empty() && !vm.gone.get());
        let queued = !self.to_machine.is_empty() || !self.to_flusher.is_empty() || self.flusher.has_ready();
        !asked && !queued && self.sent.is_none()
    }

    /// Ends all faults; every call must end without any time passing but that of turns.
    pub(crate) fn heal(&mut self) {
        self.settle_all();
        self.advance(150);
        self.settle_all();
        let machine = self.machine.as_ref().expect("alive");
        assert!(machine.is_idle() && self.flusher.is_empty(), "A8: something waits for ever: {machine:?}");
    }

    pub(crate) fn forget_last_commit(&mut self) {
        self.history.pop_last();
    }

    pub(crate) fn check(&self) {
        let mut order: BTreeMap<VmId, Vec<u64>> = BTreeMap::new();
        let mut before = Arc::<Entry>::default();
        for (revision, entry) in &self.history {
            assert_eq!(*revision, before.revision + 1, "A4: no revision is missing");
            let list = tags(entry);
            if let Some(&tag) = list.last() {
                let writer = Writer { vm: VmId(tag / 10_000), op: tag % 10_000 };
                self.check_write(writer, entry, &before);
                order.entry(writer.vm).or_default().push(writer.op);
            }
            before = Arc::clone(entry);
        }
        for ops in order.values() {
            assert!(ops.is_sorted_by(|a, b| a < b), "one VM's calls are applied in order, each once: {ops:?}");
        }
        for (writer, call) in &self.calls {
            self.check_call(*writer, call);
        }
    }

    fn check_write(&self, writer: Writer, entry: &Arc<Entry>, before: &Entry) {
        let call = self.calls.get(&writer).expect("somebody called it");
        assert!(!call.failed_in_vm, "a call that ended as nil was applied: {writer:?}");
        let mut expected = if call.kind == 'u' { tags(before) } else { Vec::new() };
        expected.push(Self::tag(writer, false));
        assert_eq!(tags(entry), expected, "A6: on exactly what it read");
        match call.answers.first().expect("answered") {
            Ok(reply) => assert_eq!(reply, &Reply::Entry(Arc::clone(entry)), "I1"),
            Err(error) => assert_eq!(error.outcome, Outcome::Unknown, "I3: a failed call appeared: {error}"),
        }
    }

    fn check_call(&self, writer: Writer, call: &Call) {
        let first = call.answers.first().unwrap_or_else(|| panic!("A8: {writer:?} {call:?} was never answered"));
        let settled_after_unknown = matches!(first, Err(error) if error.outcome == Outcome::Unknown);
        assert!(call.answers.len() == 1 || settled_after_unknown, "answered twice: {call:?}");
        if let Ok(Reply::Entry(entry)) = first {
            self.check_order_of_read(writer, call, entry);
            assert!(entry.revision <= call.durable_then, "I4: shown before it was durable");
            let stored =
                if entry.revision == 0 { Some(Arc::default()) } else { self.history.get(&entry.revision).cloned() };
            assert_eq!(stored.as_ref(), Some(entry), "I1, I4: what was shown is in the history");
        }
    }

    /// A read shows what its own VM had set before it (`decisions.md` 9).
    fn check_order_of_read(&self, reader: Writer, call: &Call, shown: &Entry) {
        if call.kind != 'g' {
            return;
        }
        let earlier = Writer { vm: reader.vm, op: 0 }..reader;
        for (writer, call) in self.calls.range(earlier).filter(|(_, call)| call.kind == 's') {
            if let Some(Ok(Reply::Entry(set))) = call.answers.first() {
                assert!(set.revision <= shown.revision, "{reader:?} read past {writer:?} of its own VM");
            }
        }
    }
}
