//! A key that several servers write, step by step. Every schedule is the model test's part (`tests/shared_model.rs`).

use super::*;
use crate::ops::Increment;

fn increment(delta: i64) -> Request {
    Request::Increment(Increment { delta, attributes: Attributes::default() })
}

fn entry(revision: u64, json: &str) -> Arc<Entry> {
    let value = Value::new(json.to_owned()).ok();
    Arc::new(Entry { revision, value, ..Entry::default() })
}

fn bench_of(retention: Retention, access: Access, json: &str) -> Bench {
    let owned = Owned { entry: entry(5, json), fence: Fence(9), access, generation: 0 };
    let machine = KeyMachine::new(StoreKind::Standard, retention, owned);
    Bench { machine, now: Moment::default(), ask: 0 }
}

fn shared() -> Bench {
    bench_of(Retention::Hourly, Access::Sums, "10")
}

#[test]
fn increments_go_at_once_and_other_calls_wait_for_them_in_order() {
    let mut bench = shared();
    assert_eq!(bench.call(1, 1, increment(1)), ["add 1.1"]);
    assert_eq!(bench.call(2, 1, increment(1)), ["add 2.1"], "it need not know what is stored");
    assert!(bench.set(1, 2).is_empty());
    assert!(bench.call(2, 2, increment(1)).is_empty(), "behind the set, whose turn it is");
    assert!(bench.call(3, 1, Request::Get).is_empty());
    assert!(bench.step(Input::Settled(1, entry(6, "11"))).is_empty(), "one is on its way yet");
    let effects = bench.step(Input::Settled(1, entry(9, "14")));
    assert_eq!(effects, ["write 1.2 r10", "write 2.2 r11"], "on what the store had, others' calls included");
    assert_eq!(bench.step(Input::Settled(2, entry(11, "2"))), ["look 3.1"]);
    assert_eq!(bench.call(1, 3, increment(1)), ["add 1.3"]);
}

#[test]
fn a_state_that_is_shown_is_confirmed_first() {
    let mut bench = shared();
    let cancelled = |bench: &Bench| Request::Update(Update { base: Some(bench.machine.head().base()), result: None });
    let request = cancelled(&bench);
    assert_eq!(bench.call(1, 1, request.clone()), ["confirm 1"]);
    assert!(bench.call(2, 1, request).is_empty(), "the question may have been answered before it was called");
    assert!(bench.set(1, 2).is_empty(), "the state stays as it was shown");
    assert_eq!(bench.call(3, 1, Request::Get), ["look 3.1"], "a read is answered by the store");
    assert_eq!(bench.step(Input::Confirmed(1, Ok(5))), ["ok 1.1", "confirm 2"]);
    assert!(bench.step(Input::Confirmed(1, Ok(5))).is_empty(), "that was answered");
    assert_eq!(bench.step(Input::Confirmed(2, Ok(5))), ["ok 2.1", "write 1.2 r6"]);
}

#[test]
fn a_state_that_is_not_the_stored_one_is_shown_to_nobody() {
    let mut bench = shared();
    let request = Request::Update(Update { base: Some(bench.machine.head().base()), result: None });
    bench.call(1, 1, request);
    bench.set(1, 2);
    assert_eq!(bench.step(Input::Confirmed(1, Ok(6))), ["recall 1"]);
    assert_eq!(bench.step(Input::Recalled(1, Vec::new(), Some(Arc::default()))), ["leaving"]);
    assert_eq!(bench.step(Input::Leave), ["left 1.1 1.2 lost"]);
}

#[test]
fn a_store_that_does_not_answer_fails_what_waits_for_it() {
    let mut bench = shared();
    let request = Request::Update(Update { base: Some(bench.machine.head().base()), result: None });
    bench.call(1, 1, request);
    bench.set(2, 1);
    let error = Err(CallError::unavailable("away"));
    assert_eq!(bench.step(Input::Confirmed(1, error)), ["fail 1.1", "write 2.1 r6"]);
}

#[test]
fn an_answer_that_is_not_confirmed_by_its_deadline_ends() {
    let mut bench = shared();
    let request = Request::Update(Update { base: Some(bench.machine.head().base()), result: None });
    bench.call(1, 1, request.clone());
    bench.now = bench.now + Duration::from_secs(20);
    bench.call(2, 1, request);
    bench.set(1, 2);
    bench.now = bench.now + Duration::from_secs(10);
    assert_eq!(bench.step(Input::Tick), ["fail 1.1"], "the question is still on its way");
    assert_eq!(bench.step(Input::Confirmed(1, Ok(5))), ["confirm 2"], "it was asked before the second call");
    assert_eq!(bench.step(Input::Confirmed(2, Ok(5))), ["ok 2.1", "write 1.2 r6"]);
}

#[test]
fn what_waits_for_a_store_that_is_silent_ends_and_the_others_keep_their_order() {
    let mut bench = shared();
    let request = Request::Update(Update { base: Some(bench.machine.head().base()), result: None });
    bench.call(1, 1, request);
    bench.now = bench.now + Duration::from_secs(1);
    bench.call(1, 2, increment(1));
    bench.now = bench.now + Duration::from_secs(29);
    assert_eq!(bench.step(Input::Tick), ["fail 1.1", "add 1.2"], "before any that is called later");
    assert_eq!(bench.call(1, 3, increment(1)), ["add 1.3"]);
    assert!(bench.step(Input::Confirmed(1, Ok(6))).is_empty(), "nobody waits for that any more");
}

#[test]
fn after_a_sum_that_did_not_fit_a_state_is_written_once() {
    let mut bench = shared();
    let refused = |bench: &mut Bench| {
        assert_eq!(bench.call(1, 1, increment(1)), ["add 1.1"]);
        bench.step(Input::Broken);
        let again = bench.op(1, 1, increment(1));
        assert_eq!(bench.step(Input::Recalled(1, vec![again], None)), ["leaving"]);
        bench.step(Input::Leave);
        bench.machine.access()
    };
    assert_eq!(refused(&mut bench), Access::States);
    let mut next = bench_of(Retention::Hourly, Access::States, "10");
    assert_eq!(next.call(1, 1, increment(1)), ["write 1.1 r6"]);
    next.step(Input::Settled(1, entry(6, "11")));
    assert_eq!(next.call(1, 2, increment(1)), ["add 1.2"]);
    // A state that came too late is no reason for another: sums do not.
    let mut late = bench_of(Retention::Hourly, Access::States, "10");
    late.call(1, 1, increment(1));
    late.step(Input::Broken);
    late.step(Input::Recalled(1, Vec::new(), None));
    assert_eq!(late.machine.access(), Access::Sums);
}

#[test]
fn what_is_known_not_to_fit_is_not_sent_as_a_sum() {
    let first = |retention, json: &str, delta| bench_of(retention, Access::Sums, json).call(1, 1, increment(delta));
    assert_eq!(first(Retention::Hourly, "10", 1), ["add 1.1"]);
    assert_eq!(first(Retention::Hourly, "10.0", 1), ["write 1.1 r6"], "it is made a number that others can add to");
    assert_eq!(first(Retention::Hourly, "\"text\"", 1), ["confirm 1"], "the error shows what is stored");
    assert_eq!(first(Retention::EveryWrite, "10", 1), ["write 1.1 r6"], "every revision is kept");
}

#[test]
fn an_increment_behind_an_update_that_runs_again_goes_on_the_state() {
    let mut bench = shared();
    assert_eq!(bench.update(1, 1, false), ["ask 1.1"]);
    assert_eq!(bench.call(2, 1, increment(1)), ["write 2.1 r6"], "an update that never ended would hold up the sums");
    assert_eq!(bench.rerun(1, 1, true), ["write 1.1 r7"]);
}

#[test]
fn what_is_durable_elsewhere_is_not_durable_here() {
    let mut bench = shared();
    bench.set(1, 1);
    bench.step(Input::Persisted(6));
    assert!(bench.call(1, 2, Request::Get).is_empty(), "revision 6 may be another server's");
    assert!(bench.call(2, 1, increment(1)).is_empty(), "in order");
    assert_eq!(bench.step(Input::Settled(1, entry(6, "1"))), ["look 1.2", "add 2.1"]);
}
