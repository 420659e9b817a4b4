//! Servers that share one key of a store.
//!
//! Every call that writes adds a power of four of its own, so that the number says which calls have been applied, and how often.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clawstore_core::backend::Fence;
use clawstore_core::clock::{Moment, Timestamp};
use clawstore_core::entry::{Attributes, Entry};
use clawstore_core::key_machine::{Access, Effect, Head, Input, KeyMachine, Op, Owned, Rerun, VmId, Writer};
use clawstore_core::lane::LaneEffect;
use clawstore_core::ops::{CallResult, Increment, Reply, Request, Update};
use clawstore_core::versioning::Retention;
use clawstore_core::vm_queue::Transform as _;
use clawstore_core::write_batch::{AfterSettle, Recalled, RowResult};
use clawstore_core::{EntryKey, GameId, StoreId, StoreKind};

use crate::server::{Add, Port, Server, ToFlusher, number};
use crate::store::{Fault, Store};

pub(crate) const SERVERS: usize = 3;
/// Calls that write, at most: what is added must have 18 digits.
const WRITES_MAX: u32 = 29;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Increment(usize, usize),
    Update(usize, usize),
    Cancel(usize, usize),
    Get(usize, usize),
    DeliverToMachine(usize),
    DeliverToFlusher(usize),
    StartBatch(usize),
    FinishBatch(usize, Fault),
    PollVm(usize, usize),
    /// The store answers a question or a read.
    Read(usize),
    Activate(usize),
    /// The server's next activation takes the key for itself.
    TakeAlone(usize),
    HandOver(usize),
    MachineFault(usize),
    Advance(u64),
}

#[derive(Debug)]
pub(crate) struct Call {
    /// What it adds; 0 for one that only looks.
    pub(crate) delta: i64,
    pub(crate) is_read: bool,
    pub(crate) answers: Vec<CallResult>,
    /// What was acknowledged when it was called.
    pub(crate) acked_before: i64,
    /// What was stored when it was answered.
    pub(crate) stored_then: i64,
    /// What a cancelled update saw.
    pub(crate) saw: Option<i64>,
}

pub(crate) struct World {
    key: EntryKey,
    now: u64,
    pub(crate) store: Store,
    servers: Vec<Server>,
    pub(crate) calls: BTreeMap<Writer, Call>,
    writes: u32,
    acked: i64,
}

impl Default for World {
    fn default() -> Self {
        let store = StoreId::new(GameId::Number(1), StoreKind::Ordered, b"Top", b"global").expect("legal");
        let first = Increment { delta: 0, attributes: Attributes::default() };
        let first = Request::Increment(first).apply(StoreKind::Ordered, &Arc::default(), Timestamp::from_unix_ms(1));
        let Ok(clawstore_core::ops::Applied::Write { entry, .. }) = first else { panic!("an increment writes") };
        Self {
            key: EntryKey::new(&Arc::new(store), b"k").expect("legal"),
            now: 0,
            store: Store::new(entry),
            servers: (0..SERVERS).map(Server::new).collect(),
            calls: BTreeMap::new(),
            writes: 0,
            acked: 0,
        }
    }
}

impl World {
    pub(crate) fn sums(&self) -> usize {
        self.store.sums
    }

    pub(crate) fn states(&self) -> usize {
        self.store.states
    }

    pub(crate) fn forget_lanes(&mut self) {
        self.store.forgets_lanes = true;
    }

    fn moment(&self) -> Moment {
        Moment::after_start(Duration::from_millis(self.now))
    }

    pub(crate) fn apply(&mut self, step: Step) {
        match step {
            Step::Increment(server, vm) => self.increment(server, vm),
            Step::Update(server, vm) => self.update(server, vm, true),
            Step::Cancel(server, vm) => self.update(server, vm, false),
            Step::Get(server, vm) => self.get(server, vm),
            Step::DeliverToMachine(server) => self.deliver_to_machine(server),
            Step::DeliverToFlusher(server) => self.deliver_to_flusher(server),
            Step::StartBatch(server) => self.start_batch(server),
            Step::FinishBatch(server, fault) => self.finish_batch(server, fault),
            Step::PollVm(server, vm) => self.poll_vm(server, vm),
            Step::Read(server) => self.read(server),
            Step::Activate(server) => self.activate(server),
            Step::TakeAlone(server) => {
                self.servers[server].takes_alone = true;
                self.servers[server].hand_over();
            }
            Step::HandOver(server) => {
                self.servers[server].gives_away = true;
                self.servers[server].hand_over();
                self.give_away_if_vacant(server);
            }
            Step::MachineFault(server) => self.machine_fault(server),
            Step::Advance(ms) => self.advance(ms),
        }
    }

    fn writer(&mut self, server: usize, vm: usize, delta: i64, is_read: bool) -> Writer {
        let state = &mut self.servers[server].vms[vm];
        let writer = Writer { vm: VmId((server * 2 + vm) as u64), op: state.next_op };
        state.next_op += 1;
        let (acked_before, answers) = (self.acked, Vec::new());
        self.calls.insert(writer, Call { delta, is_read, answers, acked_before, stored_then: 0, saw: None });
        writer
    }

    fn next_delta(&mut self) -> Option<i64> {
        let delta = (self.writes < WRITES_MAX).then(|| 4_i64.pow(self.writes));
        self.writes += 1;
        delta
    }

    fn increment(&mut self, server: usize, vm: usize) {
        let Some(delta) = self.next_delta() else { return };
        let writer = self.writer(server, vm, delta, false);
        let request = Request::Increment(Increment { delta, attributes: Attributes::default() });
        let at = Timestamp::from_unix_ms(self.now);
        self.servers[server].vms[vm].queue.push_plain(&self.key, writer, at, &request);
        self.submit(server, writer, request);
    }

    fn get(&mut self, server: usize, vm: usize) {
        let writer = self.writer(server, vm, 0, true);
        self.submit(server, writer, Request::Get);
    }

    fn update(&mut self, server: usize, vm: usize, write: bool) {
        let delta = if write { self.next_delta() } else { None };
        if write && delta.is_none() {
            return;
        }
        let writer = self.writer(server, vm, delta.unwrap_or(0), false);
        let key = self.key.clone();
        let Server { machine, vms, .. } = &mut self.servers[server];
        let published = || machine.as_ref().map(|machine| machine.head().clone());
        let found = vms[vm].queue.foresee(&key, published);
        let mut transform = Add(vms[vm].seen.clone());
        let update = found.as_ref().map_or(Update::NOT_RUN, |head| Update {
            base: Some(head.base()),
            result: transform.run(writer.op, &delta, head).expect("never fails"),
        });
        let at = Timestamp::from_unix_ms(self.now);
        vms[vm].queue.push_update(&key, writer, at, delta, &update, found);
        self.submit(server, writer, Request::Update(update));
    }

    fn submit(&mut self, server: usize, writer: Writer, request: Request) {
        let (at, deadline) = (Timestamp::from_unix_ms(self.now), self.moment() + Duration::from_secs(30));
        let input = Input::Call(Box::new(Op { writer, at, deadline, request, caller: Port }));
        let server = &mut self.servers[server];
        if server.machine.is_some() { &mut server.to_machine } else { &mut server.waiting }.push_back(input);
    }

    /// A server that calls wait in asks for the key.
    fn activate(&mut self, number: usize) {
        let server = &mut self.servers[number];
        let is_free = self.store.owner.is_none_or(|owner| owner == number);
        if server.machine.is_some() || server.waiting.is_empty() || !is_free {
            return;
        }
        if std::mem::take(&mut server.takes_alone) {
            self.store.owner = Some(number);
            self.store.fence += 1;
        }
        server.is_shared = self.store.owner.is_none();
        let access = if server.is_shared { server.access } else { Access::Alone };
        let access = if access == Access::Alone && server.is_shared { Access::Sums } else { access };
        server.machines += 1;
        server.cell = Arc::clone(&self.store.entry);
        let (entry, fence) = (Arc::clone(&self.store.entry), Fence(self.store.fence));
        let owned = Owned { entry, fence, access, generation: server.machines };
        server.machine = Some(KeyMachine::new(StoreKind::Ordered, Retention::Hourly, owned));
        server.to_machine = std::mem::take(&mut server.waiting);
    }

    fn deliver_to_machine(&mut self, server: usize) {
        let now = self.moment();
        let state = &mut self.servers[server];
        let Some(machine) = &mut state.machine else { return };
        let Some(input) = state.to_machine.pop_front() else { return };
        let mut effects = Vec::new();
        machine.step(now, Input::Persisted(state.cell.revision), &mut effects);
        machine.step(now, input, &mut effects);
        self.execute(server, effects);
    }

    fn execute(&mut self, server: usize, effects: Vec<Effect<Port>>) {
        for effect in effects {
            let state = &mut self.servers[server];
            match effect {
                Effect::Submit(item) => state.to_flusher.push_back(ToFlusher::Submit(item)),
                Effect::Answer(mut op, result) => self.answer(server, &mut op, result),
                Effect::AskRerun(writer, ask) => {
                    let head = state.machine.as_ref().expect("alive").head().clone();
                    state.vms[writer.vm.0 as usize % 2].asked.push_back((writer.op, ask, head));
                }
                Effect::Recall(number) => state.to_flusher.push_back(ToFlusher::Recall(number)),
                Effect::Leaving => state.to_machine.push_back(Input::Leave),
                Effect::Left { ops, .. } => self.left(server, ops.into_iter().map(Input::Call)),
                Effect::Look(op) => state.looks.push_back(op),
                Effect::Confirm(number) => state.questions.push_back(number),
                Effect::WakeAt(_) => {}
            }
        }
    }

    fn left(&mut self, number: usize, ops: impl Iterator<Item = Input<Port>>) {
        let server = &mut self.servers[number];
        assert!(server.flusher.is_empty(), "I8: something of the key is on its way");
        server.access = server.machine.take().expect("it leaves").access();
        server.questions.clear();
        let later = std::mem::take(&mut server.to_machine);
        let is_kept = |input: &Input<Port>| matches!(input, Input::Call(_) | Input::Rerun(..));
        server.waiting = ops.chain(later.into_iter().filter(is_kept)).collect();
        if self.store.owner == Some(number) && std::mem::take(&mut server.gives_away) {
            self.store.owner = None;
            self.store.fence += 1;
        }
    }

    fn answer(&mut self, server: usize, op: &mut Op<Port>, result: CallResult) {
        let stored_then = number(&self.store.entry);
        let call = self.calls.get_mut(&op.writer).expect("only calls are answered");
        if call.answers.is_empty() {
            call.stored_then = stored_then;
            let vm = &mut self.servers[server].vms[op.writer.vm.0 as usize % 2];
            vm.queue.answered(&self.key, op.writer.op);
            call.saw = vm.seen.borrow().get(&op.writer.op).map(|entry| number(entry));
            if result.is_ok() {
                self.acked += call.delta;
            }
        }
        call.answers.push(result);
    }

    fn with_flusher<R>(
        &mut self,
        server: usize,
        f: impl FnOnce(
            &mut clawstore_core::write_batch::PendingWrites<Port>,
            &mut dyn FnMut(&mut Op<Port>, CallResult),
        ) -> R,
    ) -> R {
        let mut flusher = std::mem::take(&mut self.servers[server].flusher);
        let result = f(&mut flusher, &mut |op, result| self.answer(server, op, result));
        self.servers[server].flusher = flusher;
        result
    }

    fn recalled(&mut self, server: usize, recalled: Recalled<Port>) {
        let server = &mut self.servers[server];
        let durable = (!recalled.reload).then(|| Arc::clone(&server.cell));
        server.to_machine.push_back(Input::Recalled(recalled.number, recalled.ops, durable));
    }

    fn deliver_to_flusher(&mut self, server: usize) {
        let key = self.key.clone();
        match self.servers[server].to_flusher.pop_front() {
            None => {}
            Some(ToFlusher::Submit(item)) => {
                self.with_flusher(server, |flusher, answer| flusher.push(&key, item, answer));
            }
            Some(ToFlusher::Recall(number)) => {
                if let Some(recalled) = self.servers[server].flusher.recall(&key, number) {
                    self.recalled(server, recalled);
                }
            }
        }
    }

    fn start_batch(&mut self, server: usize) {
        let state = &mut self.servers[server];
        if state.sent.is_some() || !state.lane.is_idle() {
            return;
        }
        let rows = state.flusher.take(8, 10_000, true);
        if !rows.is_empty() {
            let effects = state.lane.start(rows);
            self.lane_effects(server, effects);
        }
    }

    fn finish_batch(&mut self, server: usize, fault: Fault) {
        let Some(batch) = self.servers[server].sent.take() else { return };
        let result = self.store.finish(&batch, fault);
        let effects = self.servers[server].lane.outcome(result);
        self.lane_effects(server, effects);
    }

    fn lane_effects(&mut self, server: usize, effects: Vec<LaneEffect>) {
        for effect in effects {
            let state = &mut self.servers[server];
            match effect {
                LaneEffect::Send(batch) => state.sent = Some(batch),
                LaneEffect::ResendAfter(_) => {
                    let effect = state.lane.resend();
                    self.lane_effects(server, effect.into_iter().collect());
                }
                LaneEffect::Rest(_) => {}
                LaneEffect::Over => {
                    state.lane_id.incarnation.0 += 100;
                    state.lane.rejoin(state.lane_id);
                }
                LaneEffect::Settle(key, result) => self.settle(server, &key, result),
            }
        }
    }

    fn settle(&mut self, server: usize, key: &EntryKey, result: RowResult) {
        let mut news: Option<(usize, Arc<Entry>)> = None;
        let AfterSettle { broken, recalled } = self.with_flusher(server, |flusher, answer| {
            let mut publish = |writes: &mut dyn Iterator<Item = (&Op<Port>, &Arc<Entry>)>| {
                let writes: Vec<_> = writes.map(|(_, entry)| Arc::clone(entry)).collect();
                news = writes.last().map(|newest| (writes.len(), Arc::clone(newest)));
            };
            flusher.settle(key, result, &mut publish, answer)
        });
        let state = &mut self.servers[server];
        if let Some((writes, newest)) = news {
            state.cell = Arc::clone(&newest);
            if state.is_shared {
                state.to_machine.push_back(Input::Settled(writes, newest));
            }
        }
        if broken {
            state.to_machine.push_back(Input::Broken);
        }
        if let Some(recalled) = recalled {
            self.recalled(server, recalled);
        }
    }

    fn poll_vm(&mut self, server: usize, vm: usize) {
        let state = &mut self.servers[server];
        let Some((op, ask, head)) = state.vms[vm].asked.pop_front() else { return };
        let mut transform = Add(state.vms[vm].seen.clone());
        let queue = &mut state.vms[vm].queue;
        let reruns: Vec<Rerun> = queue.detach(&self.key).map_or_else(Vec::new, |mut calls| {
            let reruns = calls.rerun(op, head, &mut transform);
            queue.attach(calls);
            reruns
        });
        let input = Input::Rerun(VmId((server * 2 + vm) as u64), ask, reruns);
        if state.machine.is_some() { &mut state.to_machine } else { &mut state.waiting }.push_back(input);
    }

    fn read(&mut self, server: usize) {
        let stored = Arc::clone(&self.store.entry);
        let state = &mut self.servers[server];
        state.answer_question(&stored);
        for mut op in std::mem::take(&mut state.looks) {
            self.answer(server, &mut op, Ok(Reply::Entry(Arc::clone(&stored))));
        }
    }

    fn advance(&mut self, ms: u64) {
        self.now += ms;
        let now = self.moment();
        for server in 0..SERVERS {
            let broken = self.with_flusher(server, |flusher, answer| flusher.expire(now, answer));
            let state = &mut self.servers[server];
            if state.machine.is_some() {
                state.to_machine.extend(broken.iter().map(|_| Input::Broken));
                state.to_machine.push_back(Input::Tick);
            }
        }
    }

    fn machine_fault(&mut self, server: usize) {
        let mut effects = Vec::new();
        let state = &mut self.servers[server];
        state.machine = state.machine.take().map(|machine| machine.rebuild(&mut effects));
        self.execute(server, effects);
    }

    /// Runs without faults until nothing moves: every call must end without any time passing but that of turns.
    pub(crate) fn heal(&mut self) {
        self.run();
        self.advance(150);
        self.run();
        for server in &self.servers {
            let is_idle = server.machine.as_ref().is_none_or(KeyMachine::is_idle);
            assert!(is_idle && server.flusher.is_empty(), "A8: something waits for ever: {:?}", server.machine);
        }
    }

    fn run(&mut self) {
        for round in 0..3_000 {
            if self.servers.iter().all(Server::is_quiet) {
                return;
            }
            for server in 0..SERVERS {
                self.run_server(server, round);
            }
        }
        panic!("A8: the calls never end");
    }

    fn run_server(&mut self, server: usize, round: usize) {
        if round % 50 == 49 && self.store.owner == Some(server) {
            // Others wait for the key.
            self.apply(Step::HandOver(server));
        }
        self.activate(server);
        (0..2).for_each(|vm| self.poll_vm(server, vm));
        self.deliver_to_machine(server);
        self.deliver_to_flusher(server);
        self.start_batch(server);
        self.finish_batch(server, Fault::None);
        self.read(server);
    }

    fn give_away_if_vacant(&mut self, number: usize) {
        let server = &mut self.servers[number];
        if server.machine.is_none() && std::mem::take(&mut server.gives_away) && self.store.owner == Some(number) {
            self.store.owner = None;
            self.store.fence += 1;
        }
    }

    pub(crate) fn head(&self, server: usize) -> Option<&Head> {
        self.servers[server].machine.as_ref().map(KeyMachine::head)
    }
}
