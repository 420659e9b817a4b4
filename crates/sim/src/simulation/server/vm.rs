//! A VM: makes calls, runs transforms, hears answers (mirrors `lua-bindings`' `vm` and `vm::starts`).
//!
//! Owns: what is open in it and what it foretells of each key (`core::vm_queue`). Does not own: which calls there are
//! (`workload`), what becomes of them.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use clawstore_core::EntryKey;
use clawstore_core::key_machine::{Head, Input, VmId, Writer};
use clawstore_core::ops::{Request, Update};
use clawstore_core::vm_queue::{Transform, VmQueue};

use super::port::{Inbox, Port, VmEvent};
use super::{Process, ServerEvent};
use crate::simulation::context::Context;
use crate::simulation::history::{Call, End};
use crate::simulation::setup::number_of;
use crate::simulation::trace::Who;
use crate::simulation::workload::{Handle, Runner, What, plain};

/// A call that is open.
#[derive(Debug, Clone, Copy)]
struct Open {
    /// Its number in the history.
    call: usize,
    key: usize,
    is_write: bool,
}

#[derive(Debug)]
pub(super) struct Vm {
    id: VmId,
    inbox: Rc<Inbox>,
    queue: VmQueue<Handle>,
    open: BTreeMap<u64, Open>,
    next_op: u64,
    /// It will look into its inbox soon.
    is_woken: bool,
}

impl Vm {
    fn new(context: &mut Context, place: usize) -> Self {
        let (id, inbox) = (VmId(context.number()), Inbox::new(place));
        Self { id, inbox, queue: VmQueue::default(), open: BTreeMap::new(), next_op: 1, is_woken: false }
    }

    /// Numbers of its calls in the history that have not ended.
    pub(super) fn open_calls(&self) -> impl Iterator<Item = usize> {
        self.open.values().map(|open| open.call)
    }

    /// Notes how a call has ended.
    fn end(&mut self, context: &mut Context, keys: &[EntryKey], op: u64, end: End) {
        let Some(open) = self.open.remove(&op) else { return };
        if open.is_write {
            self.queue.answered(&keys[open.key], op);
        }
        let who = Who::Server(context.history.calls[open.call].me.server);
        match &end {
            End::Ok(entry) => context.note(who, "call {a} is OK with revision {b}", open.call as u64, entry.revision),
            end => context.note(who, end.note(), open.call as u64, 0),
        }
        context.history.end(open.call, context.now, end);
    }
}

impl Process {
    pub(super) fn start_vm(&mut self, context: &mut Context, place: usize) {
        let vm = Vm::new(context, place);
        let first = context.rng.millis(0..50);
        context.tell(self.me, first, ServerEvent::Polls(place, true));
        match self.vms.get_mut(place) {
            Some(old) => *old = vm,
            None => self.vms.push(vm),
        }
    }

    /// Something has arrived for it.
    pub(super) fn wake(&mut self, context: &mut Context, place: usize) {
        let vm = &mut self.vms[place];
        if !std::mem::replace(&mut vm.is_woken, true) {
            let frame = context.rng.micros(100..16_000);
            context.tell(self.me, frame, ServerEvent::Polls(place, false));
        }
    }

    /// Takes what has arrived; if it thinks, perhaps makes calls.
    pub(super) fn poll(&mut self, context: &mut Context, place: usize, thinks: bool) {
        self.take_answers(context, place);
        if !thinks {
            self.vms[place].is_woken = false;
            return;
        }
        let wanted = context.setup.open_calls.saturating_sub(self.vms[place].open.len());
        for _ in 0..wanted {
            if !context.takes_a_call() {
                break;
            }
            let key = match context.rng.chance(context.setup.hot) {
                true => 0,
                false => context.rng.below(self.keys.len()),
            };
            let what = What::draw(context.setup.keys[key].kind, &mut context.rng);
            self.call(context, place, key, what, false);
        }
        if context.calls_are_left() {
            let pause = context.think();
            context.tell(self.me, pause, ServerEvent::Polls(place, true));
        }
    }

    fn take_answers(&mut self, context: &mut Context, place: usize) {
        loop {
            let event = self.vms[place].inbox.events.borrow_mut().pop_front();
            match event {
                Some(VmEvent::Done { op, result }) => {
                    let Self { vms, keys, .. } = self;
                    vms[place].end(context, keys, op, End::from(result));
                }
                Some(VmEvent::Rerun { key, from, ask, head }) => self.rerun(context, place, key, from, ask, head),
                None => return,
            }
        }
    }

    fn rerun(&mut self, context: &mut Context, place: usize, key: usize, from: u64, ask: u64, head: Head) {
        let mut runner = Runner::default();
        let vm = &mut self.vms[place];
        let detached = vm.queue.detach(&self.keys[key]);
        // A call that has ended here is not known any more: the empty answer says so.
        let reruns = detached.map_or_else(Vec::new, |mut detached| {
            let reruns = detached.rerun(from, head, &mut runner);
            vm.queue.attach(detached);
            reruns
        });
        for op in runner.failed {
            vm.end(context, &self.keys, op, End::Raised);
        }
        let id = vm.id;
        self.tell(context, key, Input::Rerun(id, ask, reruns));
    }

    fn call(&mut self, context: &mut Context, place: usize, key: usize, what: What, is_probe: bool) {
        let vm = &mut self.vms[place];
        let writer = Writer { vm: vm.id, op: vm.next_op };
        vm.next_op += 1;
        let (invoked, deadline) = (context.now, context.deadline());
        let call = Call { me: self.me, key, what, invoked, deadline, ended: invoked, end: End::Open, is_probe };
        let call = context.history.begin(call);
        context.note(Who::Server(self.me.server), what.note(), call as u64, key as u64);
        match what {
            What::Read(use_cache) => self.begin_read(context, place, key, writer, use_cache, call),
            What::Plain => {
                let request = plain(context.setup.keys[key].kind, call);
                let at = context.wall(self.me.server);
                vm.queue.push_plain(&self.keys[key], writer, at, &request);
                vm.open.insert(writer.op, Open { call, key, is_write: true });
                let port = self.port(place, key, writer.op);
                self.submit(context, key, writer, request, port);
            }
            What::Update(job) => self.begin_update(context, place, key, writer, (call, job)),
        }
    }

    fn begin_read(
        &mut self,
        context: &mut Context,
        place: usize,
        key: usize,
        writer: Writer,
        use_cache: bool,
        call: usize,
    ) {
        self.vms[place].open.insert(writer.op, Open { call, key, is_write: false });
        let found = self.read(context, key, writer, use_cache, |process| process.port(place, key, writer.op));
        if let Some(entry) = found {
            let Self { vms, keys, .. } = self;
            vms[place].end(context, keys, writer.op, End::Ok(entry));
        }
    }

    /// Runs the transform now if the key's state can be told; else when the store tells it.
    fn begin_update(&mut self, context: &mut Context, place: usize, key: usize, writer: Writer, handle: Handle) {
        let at = context.wall(self.me.server);
        let name = self.keys[key].clone();
        let found = self.vms[place].queue.foresee(&name, || self.published_head(key));
        let mut runner = Runner::default();
        let update = match &found {
            None => Update::NOT_RUN,
            Some(head) => match runner.run(writer.op, &handle, head) {
                Ok(result) => Update { base: Some(head.base()), result },
                Err(_) => return context.history.end(handle.0, context.now, End::Raised),
            },
        };
        let request = Request::Update(update.clone());
        let vm = &mut self.vms[place];
        vm.queue.push_update(&name, writer, at, handle, &update, found);
        vm.open.insert(writer.op, Open { call: handle.0, key, is_write: true });
        let port = self.port(place, key, writer.op);
        self.submit(context, key, writer, request, port);
    }

    fn port(&self, place: usize, key: usize, op: u64) -> Port {
        Port::new(key, op, &self.vms[place].inbox, &self.slots[key].counts, &self.shared)
    }

    /// One VM ends: what it waits for is not heard of any more; another takes its place.
    pub(super) fn end_vm(&mut self, context: &mut Context) {
        let place = context.rng.below(self.vms.len());
        let vm = &self.vms[place];
        vm.inbox.is_closed.set(true);
        for call in vm.open_calls() {
            context.history.end(call, context.now, End::Lost);
        }
        let (id, keys): (_, Vec<usize>) = (vm.id, vm.queue.keys().map(number_of).collect());
        for key in keys {
            self.tell(context, key, Input::VmGone(id));
        }
        self.start_vm(context, place);
        self.after_event(context);
    }

    /// Writes every key.
    pub(super) fn probe(&mut self, context: &mut Context) {
        self.shared.now.set(context.now);
        for key in 0..self.keys.len() {
            let what = What::write(context.setup.keys[key].kind);
            self.call(context, 0, key, what, true);
        }
        self.after_event(context);
    }
}

impl Context {
    /// A VM makes a call now, if there are any left for it.
    fn takes_a_call(&mut self) -> bool {
        self.calls_are_left() && self.rng.chance(60)
    }

    /// Not all calls have been made.
    pub fn calls_are_left(&self) -> bool {
        self.history.calls.len() < self.setup.options.calls
    }

    /// Time between two calls of a VM, so that the calls last about as long as the faults do.
    fn think(&mut self) -> Duration {
        let vms = (self.setup.vms * self.setup.options.servers) as u64;
        let open_calls = self.setup.open_calls as u64;
        let active = u64::try_from(self.setup.active.as_millis()).unwrap_or(u64::MAX);
        let mean = active * vms * open_calls * 45 / (self.setup.options.calls as u64 * 100);
        let most = if self.is_healed { mean / 2 } else { 2 * mean };
        self.rng.millis(1..most.max(4))
    }
}
