//! Each rule, with samples that keep it and samples that break it.

use serde_json::json;

use super::super::history::{Counts, STALE_NS};
use super::*;

/// Two calls of one VM, two of tasks.
const VM: [u64; 2] = [1 << 28 | 1, 1 << 28 | 2];
const TASK: [u64; 2] = [5 << 28 | 1, 6 << 28 | 1];

fn state(entries: &[(&str, Value)]) -> State {
    entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
}

/// `lines` of a journal; `after` of the one key that is checked, which was `before`.
fn wrong(before: Value, lines: &[String], after: Value) -> Vec<Wrong> {
    let mut journal = lines.join("\n");
    journal.push('\n');
    let history = History::parse(journal.as_bytes()).unwrap();
    let key = lines[0].rsplit(' ').next().unwrap();
    check(&state(&[(key, before)]), &history, &state(&[(key, after)]))
}

fn called(id: u64, kind: &str, key: &str) -> String {
    format!("C {id} {kind} {key}")
}

fn acked(id: u64, value: i64) -> String {
    format!("A {id} ok {value}")
}

#[track_caller]
fn good(found: &[Wrong]) {
    assert!(found.is_empty(), "{found:?}");
}

#[track_caller]
fn bad(found: &[Wrong], part: &str) {
    assert!(found.iter().any(|wrong| wrong.text.contains(part)), "{found:?}");
}

#[test]
fn a_counter_is_within_what_was_acked_and_what_is_unknown() {
    let [a, b] = TASK;
    let lines = [called(a, "increment", "c"), acked(a, 11), called(b, "bump", "c")];
    good(&wrong(json!(10), &lines, json!(11)));
    good(&wrong(json!(10), &lines, json!(12)));
    bad(&wrong(json!(10), &lines, json!(10)), "LOST");
    bad(&wrong(json!(10), &lines, json!(13)), "applied twice");
    let failed = [called(a, "increment", "c"), format!("A {a} fail 502: no")];
    good(&wrong(json!(10), &failed, json!(10)));
    bad(&wrong(json!(10), &failed, json!(11)), "applied twice");
    let unknown = [called(a, "increment", "c"), format!("A {a} unknown")];
    good(&wrong(json!(10), &unknown, json!(11)));
}

#[test]
fn values_of_a_counter_are_new_and_never_older_than_what_was_told() {
    let [a, b] = TASK;
    let same = [called(a, "increment", "c"), called(b, "increment", "c"), acked(a, 1), acked(b, 1)];
    bad(&wrong(Value::Null, &same, json!(2)), "once for two");
    let stale = [called(a, "increment", "c"), acked(a, 2), called(b, "get", "c"), acked(b, 1)];
    bad(&wrong(json!(1), &stale, json!(2)), "stale");
    let seen = [called(b, "get", "c"), acked(b, 5)];
    bad(&wrong(json!(1), &seen, json!(1)), "LOST");
}

#[test]
fn a_list_has_every_acked_entry_once() {
    let [a, b] = TASK;
    let lines = [called(a, "append", "l"), called(b, "append", "l"), acked(a, 0)];
    good(&wrong(json!([7]), &lines, json!([7, a])));
    good(&wrong(json!([7]), &lines, json!([7, b, a])));
    bad(&wrong(json!([7]), &lines, json!([7, b])), "LOST");
    bad(&wrong(json!([7]), &lines, json!([a])), "LOST");
    bad(&wrong(json!([7]), &lines, json!([7, a, a])), "applied twice");
    bad(&wrong(json!([7]), &lines, json!([7, a, 9])), "nobody appended");
    let failed = [called(a, "append", "l"), format!("A {a} fail 502: no")];
    bad(&wrong(json!([7]), &failed, json!([7, a])), "failed");
}

#[test]
fn a_list_keeps_the_order_of_a_vm_and_of_time() {
    let ([first, second], [a, b]) = (VM, TASK);
    let vm = [called(first, "append", "l"), called(second, "append", "l")];
    good(&wrong(json!([]), &vm, json!([first, second])));
    good(&wrong(json!([]), &vm, json!([second])));
    bad(&wrong(json!([]), &vm, json!([second, first])), "came earlier");
    let at_once = [called(a, "append", "l"), called(b, "append", "l"), acked(a, 0), acked(b, 0)];
    good(&wrong(json!([]), &at_once, json!([b, a])));
    let one_by_one = [called(a, "append", "l"), acked(a, 0), called(b, "append", "l"), acked(b, 0)];
    good(&wrong(json!([]), &one_by_one, json!([a, b])));
    bad(&wrong(json!([]), &one_by_one, json!([b, a])), "came earlier");
}

#[test]
fn a_set_is_overwritten_only_by_what_came_later() {
    let ([first, second], [a, b]) = (VM, TASK);
    let lines = [called(a, "set", "s"), acked(a, 0), called(b, "set", "s"), acked(b, 0)];
    good(&wrong(json!(1), &lines, json!(b)));
    bad(&wrong(json!(1), &lines, json!(a)), "LOST");
    bad(&wrong(json!(1), &lines, json!(1)), "LOST");
    bad(&wrong(json!(1), &lines, json!(99)), "nobody wrote");
    let vm = [called(first, "set", "s"), called(second, "set", "s"), acked(second, 0)];
    good(&wrong(json!(1), &vm, json!(second)));
    bad(&wrong(json!(1), &vm, json!(first)), "LOST");
    let open = [called(a, "set", "s"), called(b, "set", "s"), acked(b, 0)];
    good(&wrong(json!(1), &open, json!(a)));
    let failed = [called(a, "set", "s"), format!("A {a} fail 502: no")];
    bad(&wrong(json!(1), &failed, json!(a)), "failed");
}

#[test]
fn what_was_not_called_stays() {
    let (before, after) = (state(&[("s", json!(1))]), state(&[]));
    bad(&check(&before, &History::default(), &after), "nobody wrote");
    good(&check(&before, &History::default(), &before));
}

#[test]
fn a_line_cut_off_by_the_kill_is_left_out() {
    let [a, b] = TASK;
    let history = History::parse(format!("open\nC {a} set s\nA {a} ok 0\nidle 0\nC {b} se").as_bytes()).unwrap();
    assert_eq!(history.counts(), Counts { acked: 1, ..Counts::default() });
    assert!(History::parse(b"what\n").is_err());
}

#[test]
fn journals_of_two_processes_are_merged_by_time() {
    let [a, b] = TASK;
    let one = format!("open\nC {a} increment c @10\nA {a} ok 1 @20\nidle\n");
    let late = |at| format!("open\nC {b} increment c @{at}\nA {b} ok 1 @30\nC {b}0 incr").into_bytes();
    let stale = History::merge(&[late(21), one.clone().into_bytes()]).unwrap();
    bad(&check(&State::new(), &stale, &state(&[("c", json!(2))])), "stale");
    let at_once = History::merge(&[late(20), one.into_bytes()]).unwrap();
    let found = check(&State::new(), &at_once, &state(&[("c", json!(2))]));
    assert!(found.len() == 1 && found[0].text.contains("once for two"), "{found:?}");
}

#[test]
fn a_read_may_be_behind_other_processes_for_a_while_and_never_behind_its_own() {
    let ([a, own], other) = (TASK, 1 << 40 | 1);
    let read = |process, at: u64| {
        let lines = format!("C {a} increment c @10\nA {a} ok 1 @20\nC {process} get c @{at}\nA {process} ok 0 @{at}\n");
        check(&State::new(), &History::parse(lines.as_bytes()).unwrap(), &state(&[("c", json!(1))]))
    };
    bad(&read(own, 30), "stale");
    good(&read(other, 30));
    bad(&read(other, 30 + STALE_NS), "stale");
}

#[test]
fn a_cached_read_may_be_behind_what_was_there_before_several_processes_began() {
    let [a, b] = TASK;
    let read = |at: u64| {
        let lines = format!("C {a} set s @10\nA {a} ok 0 @20\nC {b} get c @{at}\nA {b} ok 6 @{at}\n").into_bytes();
        let history = History::merge(&[lines]).unwrap();
        check(&state(&[("c", json!(7))]), &history, &state(&[("c", json!(7)), ("s", json!(a))]))
    };
    good(&read(30));
    bad(&read(10 + STALE_NS), "stale");
    let alone = [called(b, "get", "c"), acked(b, 6)];
    bad(&wrong(json!(7), &alone, json!(7)), "stale");
}

#[test]
fn what_a_read_has_shown_of_a_list_stays_and_is_not_old() {
    let [a, b] = TASK;
    let read = 7 << 28;
    let append = [called(a, "append", "l"), acked(a, 0)];
    let shown = |value: u64| [called(read, "last", "l"), acked(read, i64::try_from(value).unwrap())];
    let then = |value| [&append[..], &shown(value)[..]].concat();
    good(&wrong(json!([7]), &then(a), json!([7, a])));
    bad(&wrong(json!([7]), &then(7), json!([7, a])), "stale");
    bad(&wrong(json!([]), &then(0), json!([a])), "stale");
    // Not answered, and shown: it must stay, and what comes later comes behind it.
    let open = [&[called(b, "append", "l")][..], &shown(b)[..]].concat();
    good(&wrong(json!([7]), &open, json!([7, b])));
    bad(&wrong(json!([7]), &open, json!([7])), "LOST");
    let later = [&open[..], &append[..]].concat();
    good(&wrong(json!([7]), &later, json!([7, b, a])));
    bad(&wrong(json!([7]), &later, json!([7, a, b])), "shown earlier");
    // At the same time as the append: before it or after.
    let beside = [called(a, "append", "l"), called(read, "last", "l"), acked(read, 7), acked(a, 0)];
    good(&wrong(json!([7]), &beside, json!([7, a])));
}
