//! Turns, order and reads, step by step. Every schedule with faults is the model test's part (`tests/model.rs`).

mod shared;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::Timestamp;
use crate::entry::Attributes;
use crate::error::Outcome;
use crate::ops::{Set, Update};
use crate::value::Value;

#[derive(Debug, Clone, Default)]
struct Port {
    gone: Rc<Cell<bool>>,
}
impl Caller for Port {
    fn is_gone(&self) -> bool {
        self.gone.get()
    }
}

/// A machine with what it wants done, as text.
struct Bench {
    machine: KeyMachine<Port>,
    now: Moment,
    /// Number of the last ask.
    ask: u64,
}

fn set(number: i64) -> Set {
    Set { value: Value::integer(number), attributes: Attributes::default() }
}

impl Bench {
    fn new() -> Self {
        let machine = KeyMachine::new(StoreKind::Standard, Retention::Hourly, Owned::default());
        Self { machine, now: Moment::default(), ask: 0 }
    }

    fn op(&self, vm: u64, op: u64, request: Request) -> Box<Op<Port>> {
        let deadline = self.now + Duration::from_secs(30);
        let writer = Writer { vm: VmId(vm), op };
        Box::new(Op { writer, at: Timestamp::default(), deadline, request, caller: Port::default() })
    }

    fn step(&mut self, input: Input<Port>) -> Vec<String> {
        let mut effects = Vec::new();
        self.machine.step(self.now, input, &mut effects);
        let asks = effects.iter().filter_map(|effect| match effect {
            Effect::AskRerun(_, ask) => Some(*ask),
            _ => None,
        });
        self.ask = asks.max().unwrap_or(self.ask);
        effects.iter().map(describe).collect()
    }

    fn call(&mut self, vm: u64, op: u64, request: Request) -> Vec<String> {
        self.step(Input::Call(self.op(vm, op, request)))
    }

    fn set(&mut self, vm: u64, op: u64) -> Vec<String> {
        self.call(vm, op, Request::Set(set(1)))
    }

    /// An update that read the head as it is now, or an outdated one.
    fn update(&mut self, vm: u64, op: u64, fresh: bool) -> Vec<String> {
        let update = self.run(fresh);
        self.call(vm, op, Request::Update(update))
    }

    fn run(&self, fresh: bool) -> Update {
        let base = self.machine.head().base();
        let stale = Base { revision: base.revision + 7, ..base };
        Update { base: Some(if fresh { base } else { stale }), result: Some(set(2)) }
    }

    fn rerun(&mut self, vm: u64, op: u64, fresh: bool) -> Vec<String> {
        let update = Some(self.run(fresh));
        self.step(Input::Rerun(VmId(vm), self.ask, vec![Rerun { op, update }]))
    }
}

fn describe(effect: &Effect<Port>) -> String {
    let name = |op: &Op<Port>| format!("{}.{}", op.writer.vm.0, op.writer.op);
    match effect {
        Effect::Submit(Item::Write { op, entry, .. }) => format!("write {} r{}", name(op), entry.revision),
        Effect::Submit(Item::Gate { op, .. }) => format!("gate {}", name(op)),
        Effect::Submit(Item::Add { op, .. }) => format!("add {}", name(op)),
        Effect::Look(op) => format!("look {}", name(op)),
        Effect::Confirm(n) => format!("confirm {n}"),
        Effect::Answer(op, Ok(_)) => format!("ok {}", name(op)),
        Effect::Answer(op, Err(error)) => {
            assert_eq!(error.outcome, Outcome::Fail);
            format!("fail {}", name(op))
        }
        Effect::AskRerun(writer, _) => format!("ask {}.{}", writer.vm.0, writer.op),
        Effect::Recall(n) => format!("recall {n}"),
        Effect::Leaving => "leaving".into(),
        Effect::Left { ops, lost } => {
            let names: Vec<_> = ops.iter().map(|op| name(op)).collect();
            format!("left {}{}", names.join(" "), if *lost { " lost" } else { "" })
        }
        Effect::WakeAt(_) => "wake".into(),
    }
}

#[test]
fn an_update_is_accepted_on_its_base_only() {
    let mut bench = Bench::new();
    assert_eq!(bench.update(1, 1, true), ["write 1.1 r1"]);
    assert_eq!(bench.update(1, 2, false), ["ask 1.2"]);
    assert_eq!(bench.rerun(1, 2, true), ["write 1.2 r2"]);
}

#[test]
fn later_calls_of_a_vm_wait_behind_its_held_update_and_others_pass() {
    let mut bench = Bench::new();
    assert_eq!(bench.update(1, 1, false), ["ask 1.1"]);
    assert!(bench.set(1, 2).is_empty());
    assert_eq!(bench.set(2, 1), ["write 2.1 r1"], "another VM passes");
    assert_eq!(bench.call(2, 2, Request::Get), ["gate 2.2"], "a read waits for what is not durable, not for VMs");
    assert!(bench.call(1, 3, Request::Get).is_empty(), "a VM's read waits for its own set before it");
    assert_eq!(bench.rerun(1, 1, true), ["write 1.1 r2", "write 1.2 r3", "gate 1.3"]);
}

#[test]
fn reads_are_answered_at_once_when_the_head_is_durable() {
    let mut bench = Bench::new();
    bench.set(1, 1);
    assert_eq!(bench.call(1, 2, Request::Get), ["gate 1.2"]);
    bench.step(Input::Persisted(1));
    assert_eq!(bench.call(1, 3, Request::Get), ["ok 1.3"]);
}

#[test]
fn three_lost_races_earn_one_turn_and_others_wait_for_it() {
    let mut bench = Bench::new();
    assert_eq!(bench.update(1, 1, false), ["ask 1.1"]);
    assert_eq!(bench.rerun(1, 1, false), ["ask 1.1"]);
    assert_eq!(bench.rerun(1, 1, false), ["wake", "ask 1.1"], "the third lost race");
    assert!(bench.set(2, 1).is_empty(), "the other VM waits");
    assert_eq!(bench.call(3, 1, Request::Get), ["ok 3.1"], "a read waits for no turn");
    assert!(bench.call(2, 2, Request::Get).is_empty(), "but for its own VM's set, which does");
    let done = ["write 1.1 r1", "write 2.1 r2", "gate 2.2"];
    assert_eq!(bench.rerun(1, 1, true), done, "the turn ends with its VM's queue");
}

#[test]
fn a_turn_that_is_not_used_expires_once_and_is_forfeited() {
    let mut bench = Bench::new();
    bench.update(1, 1, false);
    bench.rerun(1, 1, false);
    bench.rerun(1, 1, false);
    assert!(bench.set(2, 1).is_empty());
    bench.now = bench.now + Duration::from_millis(99);
    assert!(bench.step(Input::Tick).is_empty());
    bench.now = bench.now + Duration::from_millis(1);
    assert_eq!(bench.step(Input::Tick), ["write 2.1 r1"], "others go on; the VM that stands still gets no second turn");
    assert_eq!(bench.set(2, 2), ["write 2.2 r2"]);
    assert_eq!(bench.rerun(1, 1, false), ["wake", "ask 1.1"], "it has polled: it may have another");
}

#[test]
fn a_vm_that_is_gone_ends_its_updates_and_its_sets_go_on() {
    let mut bench = Bench::new();
    let gone = Rc::new(Cell::new(false));
    for (op, request) in [Request::Update(Update::NOT_RUN), Request::Set(set(1)), Request::Update(Update::NOT_RUN)]
        .into_iter()
        .enumerate()
    {
        let mut call = bench.op(1, op as u64 + 1, request);
        call.caller.gone = Rc::clone(&gone);
        bench.step(Input::Call(call));
    }
    gone.set(true);
    assert_eq!(bench.step(Input::VmGone(VmId(1))), ["fail 1.1", "write 1.2 r1", "fail 1.3"]);
    assert!(bench.machine.is_idle());
}

#[test]
fn held_calls_end_by_their_deadline_and_at_closing() {
    let mut bench = Bench::new();
    bench.update(1, 1, false);
    bench.set(1, 2);
    bench.now = bench.now + Duration::from_secs(31);
    assert_eq!(bench.step(Input::Tick), ["fail 1.1", "fail 1.2"]);
    bench.update(2, 1, false);
    bench.set(2, 2);
    assert_eq!(bench.step(Input::Closing), ["fail 2.1", "write 2.2 r1"]);
    assert_eq!(bench.update(2, 3, false), ["fail 2.3"], "nothing is held any more");
}

#[test]
fn the_answer_to_an_older_ask_changes_nothing() {
    let mut bench = Bench::new();
    bench.update(1, 1, false);
    let older = bench.ask;
    assert_eq!(bench.rerun(1, 1, false), ["ask 1.1"]);
    let update = Some(bench.run(true));
    assert!(bench.step(Input::Rerun(VmId(1), older, vec![Rerun { op: 1, update }])).is_empty());
    let failed = vec![Rerun { op: 1, update: None }];
    assert_eq!(bench.step(Input::Rerun(VmId(1), older, failed)), ["fail 1.1"], "but a call that has ended has ended");
}

#[test]
fn a_transform_that_failed_ends_its_call_and_the_next_ones_follow() {
    let mut bench = Bench::new();
    bench.update(1, 1, false);
    bench.set(1, 2);
    let failed = vec![Rerun { op: 1, update: None }];
    assert_eq!(bench.step(Input::Rerun(VmId(1), bench.ask, failed)), ["fail 1.1", "write 1.2 r1"]);
}

#[test]
fn what_was_recalled_is_made_again_before_what_came_meanwhile() {
    let mut bench = Bench::new();
    bench.set(1, 1);
    let second = bench.op(1, 2, Request::Set(set(2)));
    assert_eq!(bench.step(Input::Broken), ["recall 1"]);
    assert!(bench.step(Input::Broken).is_empty(), "asked once");
    assert!(bench.set(2, 1).is_empty(), "nothing is accepted meanwhile");
    let late = Input::Recalled(0, Vec::new(), Some(Arc::default()));
    assert!(bench.step(late).is_empty(), "the answer to another recall is not the one awaited");
    let recalled = Input::Recalled(1, vec![second], Some(Arc::default()));
    assert_eq!(bench.step(recalled), ["write 1.2 r1", "write 2.1 r2"]);
}

#[test]
fn on_a_state_that_is_not_known_nothing_is_built() {
    let mut bench = Bench::new();
    bench.set(1, 1);
    bench.step(Input::Broken);
    let again = bench.op(1, 1, Request::Set(set(2)));
    assert_eq!(bench.step(Input::Recalled(1, vec![again], None)), ["leaving"]);
    assert!(bench.set(2, 1).is_empty(), "it was sent before the shell knew");
    assert_eq!(bench.step(Input::Leave), ["left 1.1 2.1 lost"]);
}

#[test]
fn a_key_is_handed_over_with_all_that_waits_in_order() {
    let mut bench = Bench::new();
    bench.set(1, 1);
    bench.update(2, 1, false);
    bench.set(2, 2);
    assert_eq!(bench.step(Input::HandOver), ["recall 1"]);
    assert!(bench.step(Input::HandOver).is_empty(), "once");
    bench.set(3, 1);
    let accepted = bench.op(1, 1, Request::Set(set(1)));
    assert_eq!(bench.step(Input::Recalled(1, vec![accepted], Some(Arc::default()))), ["leaving"]);
    assert_eq!(bench.step(Input::Leave), ["left 1.1 3.1 2.1 2.2"]);
    assert!(bench.step(Input::Leave).is_empty());
}

#[test]
fn a_fault_while_it_leaves_recalls_once_more() {
    let mut bench = Bench::new();
    bench.step(Input::HandOver);
    assert_eq!(bench.step(Input::Recalled(1, Vec::new(), Some(Arc::default()))), ["leaving"]);
    let mut effects = Vec::new();
    bench.machine = bench.machine.rebuild(&mut effects);
    assert_eq!(effects.iter().map(describe).collect::<Vec<_>>(), ["recall 2"]);
    assert!(bench.step(Input::Leave).is_empty(), "not before the recall is over");
    assert_eq!(bench.step(Input::Recalled(2, Vec::new(), Some(Arc::default()))), ["leaving"]);
    assert_eq!(bench.step(Input::Leave), ["left "]);
}

/// What becomes of `head` when a call at `at` supersedes it.
fn previous(retention: Retention, head: &Entry, at: Timestamp, request: Request) -> Previous {
    let owned = Owned { entry: Arc::new(head.clone()), ..Owned::default() };
    let mut machine = KeyMachine::<Port>::new(StoreKind::Standard, retention, owned);
    let (writer, deadline) = (Writer { vm: VmId(1), op: 1 }, Moment::default() + Duration::from_secs(30));
    let mut effects = Vec::new();
    let op = Box::new(Op { writer, at, deadline, request, caller: Port::default() });
    machine.step(Moment::default(), Input::Call(op), &mut effects);
    match effects.pop() {
        Some(Effect::Submit(Item::Write { previous, .. })) => previous,
        other => panic!("no write: {other:?}"),
    }
}

#[test]
fn what_is_superseded_is_kept_as_its_store_says_and_an_erased_version_never() {
    let (start, minute) = (Timestamp::default(), Timestamp::from_unix_ms(60_000));
    let head = Entry::default().successor(Some(Value::integer(1)), Attributes::default(), start);
    let after_a_minute = |retention, request| previous(retention, &head, minute, request);
    assert_eq!(after_a_minute(Retention::Hourly, Request::Set(set(2))), Previous::Overwritten);
    assert_eq!(after_a_minute(Retention::EveryWrite, Request::Set(set(2))), Previous::Kept);
    assert_eq!(after_a_minute(Retention::Hourly, Request::Remove), Previous::Kept);
    for retention in [Retention::Hourly, Retention::EveryWrite] {
        assert_eq!(after_a_minute(retention, Request::RemoveVersion(head.version())), Previous::Erased);
    }
}

#[test]
fn a_tombstone_that_is_over_is_kept_no_longer() {
    let removed = Entry::default().successor(None, Attributes::default(), Timestamp::default());
    let day = |day: u64| Timestamp::from_unix_ms(day * 86_400_000);
    let set_at = |at| previous(Retention::Hourly, &removed, at, Request::Set(set(2)));
    assert_eq!((set_at(day(30)), set_at(day(30).next())), (Previous::Kept, Previous::Erased));
}

/// The calls of a VM that waits for its update to run again, and the update that it foresees behind them, on what it was shown.
fn foreseen(bench: &Bench, first: &Op<Port>, second: &Request) -> Vec<Rerun> {
    let run = |head: &Head| Update { base: Some(head.base()), result: Some(set(2)) };
    let update = run(bench.machine.head());
    let (kind, at) = (StoreKind::Standard, Timestamp::default());
    let request = Request::Update(update.clone());
    let head = bench.machine.head().after(kind, first.writer, &request, at).expect("a set");
    let head = head.after(kind, Writer { vm: VmId(1), op: 2 }, second, at).expect("a set");
    vec![Rerun { op: 1, update: Some(update) }, Rerun { op: 3, update: Some(run(&head)) }]
}

#[test]
fn a_revision_that_somebody_else_made_is_not_the_one_that_was_foreseen() {
    let mut bench = Bench::new();
    bench.update(1, 1, false);
    let first = bench.op(1, 1, Request::Get);
    bench.now = bench.now + Duration::from_secs(20);
    bench.set(1, 2);
    bench.call(1, 3, Request::Update(Update::NOT_RUN));
    let reruns = foreseen(&bench, &first, &Request::Set(set(1)));
    assert_eq!(bench.set(2, 1), ["write 2.1 r1"], "in the place of the first update, which then expires");
    bench.now = bench.now + Duration::from_secs(10);
    let effects = bench.step(Input::Rerun(VmId(1), bench.ask, reruns));
    assert_eq!(effects, ["fail 1.1", "write 1.2 r2", "ask 1.3"], "its own set made revision 2, but of another state");
}
