//! Budgets, queues and rates of games: their numbers, and their order against a plain model.
#![allow(clippy::unwrap_used, clippy::cast_sign_loss, reason = "a test may panic, also in its helpers")]

mod game_rates;
mod model;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::Timestamp;
use crate::entry_key::{EntryKey, GameId, StoreId};
use crate::error::CallError;
use crate::limits::{CALL_DEADLINE, Limits, QUEUED_FAIRLY_MAX};
use crate::ops::{Request, Set, Update};
use crate::value::Value;

fn start() -> Timestamp {
    Timestamp::from_unix_ms(1_000_000)
}

fn at(seconds: u64) -> Timestamp {
    start().later(Duration::from_secs(seconds))
}

fn key(kind: StoreKind, name: &str) -> EntryKey {
    let store = Arc::new(StoreId::new(GameId::Number(1), kind, b"S", b"global").unwrap());
    EntryKey::new(&store, name.as_bytes()).unwrap()
}

fn named(name: &str) -> BudgetType {
    BudgetType::ALL.into_iter().find(|budget| budget.name() == name).unwrap()
}

/// More than all calls of a test hold.
const BYTES: usize = 64 << 20;

/// A queue of numbers, with Roblox's rates.
fn queues() -> Queues<u32> {
    Queues::new(Limits::Roblox, start(), BYTES, CALL_DEADLINE)
}

fn set() -> Request {
    Request::Set(Set { value: Value::integer(1), attributes: Default::default() })
}

fn update() -> Request {
    Request::Update(Update::NOT_RUN)
}

fn asked(request: &Request, key: &EntryKey) -> Asked {
    let charge = Charge::of(key.store.kind, request);
    Asked { key: Some(key.clone()), charge, throttle: Throttle::of_request(request) }
}

fn listed() -> Asked {
    Asked { key: None, charge: Charge::LIST, throttle: Throttle::ListKeys }
}

fn free(_: &Asked) -> Room {
    Room::Now
}

/// Makes so many calls that start.
fn spend(queues: &mut Queues<u32>, now: Timestamp, asked: &Asked, times: u32) {
    for number in 0..times {
        assert_eq!(queues.enter(now, 0, asked.clone(), free, number), Entered::Starts(number), "call {number}");
    }
}

fn drain(queues: &mut Queues<u32>, now: Timestamp) -> Vec<u32> {
    std::iter::from_fn(|| queues.next(now, 0, free)).map(|(call, _)| call).collect()
}

#[test]
fn a_server_starts_with_a_burst_and_fills_to_three_minutes() {
    let mut queues = queues();
    let mut shown = |now, players| BudgetType::ALL.map(|budget| queues.budget(now, players, budget));
    let burst = [100, 100, 100, 10, 50, 100, 10, 100, 100];
    assert_eq!(shown(start(), 0)[..9], burst, "the deprecated ones show those that stand for them");
    assert_eq!(shown(start(), 0)[9..], [100, 100, 10, 100, 100, 50, 10, 50]);
    assert_eq!(shown(at(1), 0)[9..], [101, 101, 10, 101, 101, 50, 10, 50], "shown are whole ones");
    assert_eq!(shown(at(12), 0)[9..], [112, 112, 11, 112, 112, 56, 11, 56]);
    assert_eq!(shown(at(3_600), 0)[9..], [180, 180, 15, 180, 180, 90, 15, 90], "three minutes' worth");
    assert_eq!(shown(at(3_601), 2)[9..], [182, 182, 15, 182, 182, 90, 15, 90], "two players more");
    assert_eq!(shown(at(7_200), 2)[9..], [420, 420, 27, 420, 420, 120, 27, 120]);
    assert_eq!(shown(at(7_200), 0)[9..], [180, 180, 15, 180, 180, 90, 15, 90], "and gone");
}

#[test]
fn no_budgets_no_numbers() {
    for limits in [Limits::Off, Limits::Fair, Limits::RobloxClassic] {
        let mut queues = Queues::<u32>::new(limits, start(), BYTES, CALL_DEADLINE);
        assert!(BudgetType::ALL.iter().all(|budget| queues.budget(start(), 0, *budget) == i32::MAX));
        assert!(queues.set_rate(start(), 0, named("StandardRead"), (0, 0)).is_ok());
        assert!(queues.set_rate(start(), 0, named("StandardRead"), (10_001, 0)).is_err(), "checked all the same");
        spend(&mut queues, start(), &asked(&Request::Get, &key(StoreKind::Standard, "k")), 1_000);
    }
}

#[test]
fn a_closing_server_can_save() {
    let mut queues = queues();
    spend(&mut queues, start(), &asked(&Request::Remove, &key(StoreKind::Ordered, "k")), 50);
    queues.top_up(start(), 0);
    let shown = RequestType::ALL.map(|request| queues.budget(start(), 0, BudgetType::Modern(request)));
    assert_eq!(shown, [150, 150, 12, 150, 150, 75, 12, 75]);
    let mut full = self::queues();
    full.budget(at(3_600), 0, named("StandardRead"));
    full.top_up(at(3_600), 0);
    assert_eq!(full.budget(at(3_600), 0, named("StandardRead")), 180, "nothing is taken away");
}

#[test]
fn a_closing_server_can_save_whatever_its_scripts_have_set() {
    let mut queues = queues();
    queues.set_rate(start(), 10, named("StandardWrite"), (0, 40)).unwrap();
    queues.set_rate(start(), 10, named("StandardRead"), (100, 0)).unwrap();
    queues.top_up(start(), 0);
    let mut shown = |now| ["StandardWrite", "StandardRead"].map(|name| queues.budget(now, 0, named(name)));
    assert_eq!(shown(start()), [150, 250], "of the default, or of more");
    assert_eq!(shown(at(3_600)), [180, 300], "and it fills from then on");
}

#[test]
fn scripts_set_rates_within_their_ranges() {
    let ranges: [(&str, i64, i64); 15] = [
        ("GetAsync", 60, 40),
        ("SetIncrementAsync", 60, 40),
        ("GetSortedAsync", 5, 2),
        ("ListAsync", 5, 2),
        ("GetVersionAsync", 5, 2),
        ("RemoveVersionAsync", 5, 2),
        ("SetIncrementSortedAsync", 30, 5),
        ("StandardRead", 10_000, 200),
        ("StandardWrite", 10_000, 200),
        ("StandardList", 10_000, 200),
        ("StandardRemove", 10_000, 200),
        ("OrderedRead", 10_000, 200),
        ("OrderedWrite", 10_000, 200),
        ("OrderedList", 10_000, 200),
        ("OrderedRemove", 10_000, 200),
    ];
    let mut queues = queues();
    let mut set = |name, base, per_player| {
        queues.set_rate(start(), 0, named(name), (base, per_player)).map_err(|error| error.text.into_string())
    };
    for (name, base, per_player) in ranges {
        assert_eq!(set(name, 0, 0), Ok(()));
        assert_eq!(set(name, base, per_player), Ok(()));
        for wrong in [-1, base + 1, i64::MIN, i64::MAX] {
            assert_eq!(set(name, wrong, 0), Err(format!("baseLimit of {name} must be from 0 to {base}")));
        }
        for wrong in [-1, per_player + 1, i64::MIN, i64::MAX] {
            assert_eq!(set(name, 0, wrong), Err(format!("perPlayerLimit of {name} must be from 0 to {per_player}")));
        }
    }
    for name in ["UpdateAsync", "OnUpdate"] {
        assert_eq!(set(name, 0, 0), Err(format!("The rate limit of {name} cannot be set")));
    }
}

#[test]
fn a_rate_that_is_set_holds_at_once_and_for_its_type_alone() {
    let (mut queues, standard) = (queues(), key(StoreKind::Standard, "k"));
    queues.set_rate(start(), 0, named("GetAsync"), (0, 0)).unwrap();
    assert_eq!(queues.budget(start(), 0, named("GetAsync")), 100, "a deprecated one stands for nothing");
    queues.set_rate(start(), 0, named("StandardRead"), (0, 0)).unwrap();
    assert_eq!(queues.budget(start(), 0, named("StandardRead")), 0);
    assert_eq!(queues.budget(start(), 0, named("UpdateAsync")), 0, "the smaller one");
    assert_eq!(queues.budget(start(), 0, named("StandardWrite")), 100);
    assert_eq!(queues.enter(start(), 0, asked(&Request::Get, &standard), free, 1), Entered::Waits);
    assert_eq!(drain(&mut queues, at(3_600)), [0; 0], "never");
    queues.set_rate(at(3_600), 0, named("StandardRead"), (60, 0)).unwrap();
    assert_eq!(queues.wake(), Some(at(3_600)), "it is looked at again at once");
    assert_eq!((drain(&mut queues, at(3_600)), drain(&mut queues, at(3_601))), (vec![], vec![1]));
    queues.set_rate(at(3_601), 0, named("StandardList"), (0, 6)).unwrap();
    assert_eq!(queues.budget(at(3_611), 1, named("StandardList")), 1, "ten seconds of one player's six a minute");
}

#[test]
fn each_queue_holds_thirty_and_drops_the_next() {
    let (mut queues, standard, ordered) = (queues(), key(StoreKind::Standard, "k"), key(StoreKind::Ordered, "k"));
    let set = Request::Set(Set { value: Value::integer(1), attributes: Default::default() });
    for request in RequestType::ALL {
        queues.set_rate(start(), 0, BudgetType::Modern(request), (0, 0)).unwrap();
    }
    let of_each = [
        (asked(&set, &standard), "302: SetAsync", "StandardWrite"),
        (asked(&set, &ordered), "302: SetAsync", "OrderedWrite"),
        (asked(&Request::Get, &standard), "301: GetAsync", "StandardRead"),
        (asked(&Request::Get, &ordered), "301: GetAsync", "OrderedRead"),
    ];
    for (asked, _, _) in &of_each {
        for _ in 0..30 {
            assert_eq!(queues.enter(start(), 0, asked.clone(), free, 0), Entered::Waits);
        }
    }
    let mut dropped = |asked| match queues.enter(start(), 0, asked, free, 7) {
        Entered::Refused(7, error) => (error.code.name(), error.text.into_string()),
        other => panic!("{other:?}"),
    };
    let tail = "request dropped. Request was throttled, but throttled request queue was full.";
    for (asked, text, by) in of_each {
        assert_eq!(dropped(asked), (format!("{by}GameServerThrottled").leak() as &str, format!("{text} {tail}")));
    }
    // What shares their queues.
    assert_eq!(dropped(asked(&Request::Remove, &standard)).1, format!("306: RemoveAsync {tail}"));
    assert_eq!(dropped(asked(&Request::Update(Update::NOT_RUN), &ordered)).1, format!("304: UpdateAsync {tail}"));
    assert_eq!(dropped(listed()).1, format!("ListKeysAsyncThrottle: ListKeysAsync {tail}"));
    let sorted = Asked { key: None, charge: Charge::SORTED, throttle: Throttle::GetSorted };
    assert_eq!(dropped(sorted), ("OrderedListGameServerThrottled", format!("305: GetSortedAsync {tail}")));
}

#[test]
fn what_waits_for_its_share_waits_in_one_long_queue() {
    let (mut queues, key) = (Queues::new(Limits::Fair, start(), BYTES, CALL_DEADLINE), key(StoreKind::Standard, "k"));
    let busy = |_: &Asked| Room::In(Duration::from_millis(5));
    for number in 0..QUEUED_FAIRLY_MAX {
        assert_eq!(queues.enter(start(), 0, asked(&Request::Get, &key), busy, number), Entered::Waits);
    }
    let next = queues.enter(start(), 0, asked(&Request::Get, &key), busy, 0);
    assert_eq!(next, Entered::Refused(0, CallError::memory_full()));
    assert_eq!(queues.wake(), Some(start().later(Duration::from_millis(5))));
}

#[test]
fn what_waits_holds_no_more_bytes_than_it_may() {
    let key = key(StoreKind::Standard, "k");
    let large = |bytes| {
        let asked = asked(&set(), &key);
        Asked { charge: Charge { bytes, ..asked.charge }, ..asked }
    };
    let busy = |_: &Asked| Room::In(Duration::from_millis(5));
    for limits in [Limits::Fair, Limits::Roblox] {
        let mut queues = Queues::new(limits, start(), 1_000, CALL_DEADLINE);
        assert_eq!(queues.enter(start(), 0, large(600), busy, 1), Entered::Waits);
        assert_eq!(queues.enter(start(), 0, large(401), busy, 2), Entered::Refused(2, CallError::memory_full()));
        assert_eq!(queues.enter(start(), 0, large(400), busy, 3), Entered::Waits);
        assert_eq!(queues.next(start(), 0, free), Some((1, None)));
        assert_eq!(queues.enter(start(), 0, large(601), busy, 4), Entered::Refused(4, CallError::memory_full()));
        assert_eq!(queues.enter(start(), 0, large(600), busy, 5), Entered::Waits, "what has started waits no more");
    }
}

#[test]
fn a_call_that_is_put_back_has_its_place_again() {
    let mut queues = Queues::new(Limits::Fair, start(), 2_000, CALL_DEADLINE);
    let [a, b] = ["a", "b"].map(|name| asked(&update(), &key(StoreKind::Standard, name)));
    let large = Asked { charge: Charge { bytes: 1_200, ..a.charge }, ..a.clone() };
    let busy = |_: &Asked| Room::In(Duration::from_secs(20));
    for (number, asked) in [(1, &a), (2, &a), (3, &b)] {
        assert_eq!(queues.enter(start(), 0, asked.clone(), busy, number), Entered::Waits);
    }
    assert_eq!(queues.next(start(), 0, free), Some((1, None)));
    queues.put_back(large, 1);
    let mut asked_for = Vec::new();
    let room = |asked: &Asked| {
        asked_for.push(asked.charge.bytes);
        busy(asked)
    };
    assert_eq!(queues.next(start(), 0, room), None);
    assert_eq!(asked_for, [1_200, b.charge.bytes], "what it costs, and the other key; what is behind it waits");
    assert_eq!(queues.enter(start(), 0, b, busy, 4), Entered::Refused(4, CallError::memory_full()));
    assert_eq!(queues.next(at(11), 0, busy), Some((1, Some(CallError::timed_out()))), "it has waited for as long");
    assert_eq!(drain(&mut queues, at(11)), [2, 3]);
}

#[test]
fn an_update_that_lacks_write_budget_does_not_hold_up_reads() {
    let (mut queues, [a, b, c]) = (queues(), ["a", "b", "c"].map(|name| key(StoreKind::Standard, name)));
    queues.set_rate(start(), 0, named("StandardWrite"), (0, 0)).unwrap();
    queues.set_rate(start(), 0, named("StandardRead"), (1, 0)).unwrap();
    assert_eq!(queues.enter(start(), 0, asked(&update(), &a), free, 1), Entered::Waits);
    assert_eq!(queues.enter(start(), 0, asked(&set(), &b), free, 2), Entered::Waits, "writes it does");
    for number in 3..6 {
        assert_eq!(queues.enter(start(), 0, asked(&Request::Get, &c), free, number), Entered::Starts(number));
    }
    assert_eq!(queues.enter(start(), 0, asked(&Request::Get, &c), free, 6), Entered::Waits, "there are no more");
    queues.set_rate(start(), 0, named("StandardWrite"), (60, 0)).unwrap();
    assert_eq!(drain(&mut queues, at(1)), [0; 0], "now it lacks a read");
    queues.set_rate(at(1), 0, named("StandardWrite"), (0, 0)).unwrap();
    assert_eq!(drain(&mut queues, at(61)), [0; 0], "the read that comes is kept for it");
    queues.set_rate(at(61), 0, named("StandardWrite"), (60, 0)).unwrap();
    assert_eq!(drain(&mut queues, at(62)), [1]);
    assert_eq!(drain(&mut queues, at(119)), [2]);
    assert_eq!(drain(&mut queues, at(121)), [6]);
}

/// A look at a call that comes, and one at all that wait, do not go through all of them for each.
#[test]
fn what_waits_is_looked_at_once() {
    let mut queues = Queues::new(Limits::Fair, start(), BYTES, CALL_DEADLINE);
    let busy = |_: &Asked| Room::In(Duration::from_millis(5));
    for number in 0..QUEUED_FAIRLY_MAX {
        let key = key(StoreKind::Standard, &(number / 2).to_string());
        assert_eq!(queues.enter(start(), 0, asked(&set(), &key), busy, number), Entered::Waits);
    }
    let mut looks = 0;
    let mut every_other = |_: &Asked| {
        looks += 1;
        if looks % 2 == 0 { Room::Now } else { Room::In(Duration::from_millis(5)) }
    };
    let mut started = Vec::new();
    while let Some((call, _)) = queues.next(start(), 0, &mut every_other) {
        started.push(call);
    }
    assert!(started.is_sorted());
    assert!(looks <= QUEUED_FAIRLY_MAX, "each at most once: {looks}");
    assert!(!queues.is_empty() && queues.wake() == Some(start().later(Duration::from_millis(5))));
    assert_eq!(std::iter::from_fn(|| queues.next(start(), 0, free)).count(), QUEUED_FAIRLY_MAX - started.len());
    assert!(queues.is_empty() && queues.wake().is_none());
    assert!(!queues.waits_to_write(&key(StoreKind::Standard, "0")));
}

#[test]
fn calls_behind_a_throttled_key_do_not_wait_for_longer_than_it() {
    let (mut queues, hot) =
        (Queues::new(Limits::Roblox, start(), BYTES, Duration::from_secs(9)), key(StoreKind::Standard, "hot"));
    let busy = |_: &Asked| Room::In(Duration::from_secs(1));
    for number in 0..20 {
        assert_eq!(queues.enter(start(), 0, asked(&Request::Get, &hot), busy, number), Entered::Waits);
    }
    assert_eq!(queues.next(at(8), 0, busy), None);
    let ended: Vec<_> = std::iter::from_fn(|| queues.next(at(9), 0, busy)).collect();
    assert_eq!(ended, (0..20).map(|number| (number, Some(CallError::key_throttled()))).collect::<Vec<_>>());
}

#[test]
fn a_throttled_key_holds_up_itself_alone_and_not_for_longer_than_a_call_may_take() {
    let (mut queues, hot, cold) = (queues(), key(StoreKind::Standard, "hot"), key(StoreKind::Standard, "cold"));
    let room = |asked: &Asked| match asked.key.as_ref().is_some_and(|key| &*key.key == "hot") {
        true => Room::In(Duration::from_secs(11)),
        false => Room::Now,
    };
    assert_eq!(queues.enter(start(), 0, asked(&Request::Get, &hot), room, 1), Entered::Waits);
    assert_eq!(queues.wake(), Some(at(1)));
    assert_eq!(queues.enter(start(), 0, asked(&Request::Remove, &hot), free, 2), Entered::Waits, "behind it");
    assert_eq!(queues.enter(start(), 0, asked(&Request::Get, &cold), room, 3), Entered::Starts(3), "past it");
    assert_eq!(queues.next(at(11), 0, room), None);
    assert_eq!(queues.next(at(19), 0, room), None, "30 s are enough");
    assert_eq!(queues.next(at(20), 0, room), Some((1, Some(CallError::key_throttled()))));
    assert_eq!(queues.next(at(20), 0, free), Some((2, None)));
    let long = |_: &Asked| Room::In(Duration::from_secs(31));
    let refused = queues.enter(at(20), 0, asked(&Request::Get, &hot), long, 4);
    assert_eq!(refused, Entered::Refused(4, CallError::key_throttled()));
    let text = CallError::key_throttled().text;
    assert!(
        text.starts_with("502: API Services rejected request with error. KeyThrottled: ")
            && text.ends_with("(not applied)")
    );
}

#[test]
fn a_call_that_costs_more_than_a_budget_holds_starts_with_a_full_one() {
    let mut queues = queues();
    queues.set_rate(start(), 0, named("OrderedRead"), (2, 0)).unwrap();
    let batch = Asked { key: None, charge: Charge::batch(100), throttle: Throttle::Get };
    assert_eq!(queues.enter(start(), 0, batch.clone(), free, 1), Entered::Starts(1), "six are all there are");
    assert_eq!(queues.enter(start(), 0, batch, free, 2), Entered::Waits);
    assert_eq!(drain(&mut queues, at(179)), [0; 0]);
    assert_eq!(drain(&mut queues, at(180)), [2]);
}

#[test]
fn a_call_that_waits_to_write_is_known_by_its_key() {
    let (mut queues, a, b) = (queues(), key(StoreKind::Standard, "a"), key(StoreKind::Standard, "b"));
    let busy = |_: &Asked| Room::In(Duration::from_secs(1));
    queues.enter(start(), 0, asked(&Request::Get, &a), busy, 1);
    assert!(!queues.waits_to_write(&a));
    queues.enter(start(), 0, asked(&Request::Update(Update::NOT_RUN), &a), busy, 2);
    assert!(queues.waits_to_write(&a) && !queues.waits_to_write(&b));
}

#[test]
fn what_waits_behind_a_call_that_never_starts_never_starts_either() {
    let (mut queues, key) = (queues(), key(StoreKind::Standard, "k"));
    queues.set_rate(start(), 0, named("StandardWrite"), (0, 0)).unwrap();
    assert_eq!(queues.enter(start(), 0, asked(&set(), &key), free, 0), Entered::Waits);
    assert_eq!(
        queues.enter(start(), 0, asked(&Request::Get, &key), free, 1),
        Entered::Waits,
        "budget, but not the first"
    );
    assert_eq!(queues.stuck(start(), 0), 2);
    queues.set_rate(start(), 0, named("StandardWrite"), (1, 0)).unwrap();
    assert_eq!(queues.stuck(start(), 0), 0, "both start in a minute");
}

#[test]
fn what_is_there_need_not_be_waited_for_whatever_the_rate() {
    let bucket = bucket::Bucket::holding(2, start());
    assert_eq!(bucket.wait(2, 0), Some(Duration::ZERO));
    assert_eq!(bucket.wait(3, 0), None);
    assert_eq!(bucket.wait(3, 60), Some(Duration::from_secs(1)));
}

#[test]
fn methods_are_known_by_their_names() {
    let set = Throttle::of_request(&set());
    assert_eq!((Throttle::of_method(set.method()), set.method()), (Some(set), "SetAsync"));
    assert_eq!(Throttle::of_method("ListKeysAsync"), Some(Throttle::ListKeys));
    assert_eq!(Throttle::of_method("GetRequestBudgetForRequestType"), None);
}
