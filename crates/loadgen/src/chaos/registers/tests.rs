//! Histories that have an order and histories that have none, and a search through all orders to compare with.

use proptest::prelude::*;

use super::super::calls::{Answer, Call, Kind};
use super::super::history::Answered;
use super::*;

/// One call: what was written (or read), and when.
#[derive(Debug, Clone, Copy)]
struct Op {
    is_write: bool,
    value: u64,
    begin: usize,
    /// `None`: not answered.
    end: Option<usize>,
}

const fn write(value: u64, begin: usize, end: Option<usize>) -> Op {
    Op { is_write: true, value, begin, end }
}

const fn read(value: u64, begin: usize, end: usize) -> Op {
    Op { is_write: false, value, begin, end: Some(end) }
}

fn told(ops: &[Op]) -> Vec<Told> {
    let told = |op: &Op| {
        let kind = if op.is_write { Kind::Set } else { Kind::Read };
        let id = if op.is_write { op.value } else { 1_000 + op.begin as u64 };
        let value = if op.is_write { 0 } else { op.value as i64 };
        let answered = op.end.map(|at| Answered { at, ns: 0, answer: Answer::Ok(value) });
        Told { call: Call { id, kind, key: "k".into() }, called: op.begin, called_ns: 0, answered, floor: 0 }
    };
    ops.iter().map(told).collect()
}

fn found(ops: &[Op], after: u64) -> Vec<Wrong> {
    let told = told(ops);
    check(0, &told.iter().collect::<Vec<_>>(), after)
}

/// Tries all orders: the next call is any that began before the first end of those that are left.
fn has_order(left: &[Op], value: u64, after: u64) -> bool {
    let Some(first_end) = left.iter().map(|op| op.end.unwrap_or(usize::MAX)).min() else { return value == after };
    (0..left.len()).any(|at| {
        let op = left[at];
        let mut rest = left.to_vec();
        rest.remove(at);
        // One that was not answered may never have been applied.
        let without = op.end.is_none() && has_order(&rest, value, after);
        let next = op.begin < first_end && (op.is_write || op.value == value);
        without || (next && has_order(&rest, if op.is_write { op.value } else { value }, after))
    })
}

#[test]
fn known_good_histories_have_an_order() {
    let good: [(&[Op], u64); 6] = [
        (&[], 0),
        (&[write(1, 0, Some(1)), write(2, 2, Some(3)), read(2, 4, 5)], 2),
        // At the same time: either first, and reads see one after the other.
        (&[write(1, 0, Some(9)), write(2, 1, Some(8)), read(1, 2, 3), read(2, 4, 5)], 2),
        (&[write(1, 0, None), read(0, 1, 2), read(1, 3, 4)], 1),
        (&[write(1, 0, None), read(0, 1, 2)], 0),
        (&[write(1, 0, None), write(2, 1, Some(2)), read(2, 3, 4), read(1, 5, 6)], 1),
    ];
    for (ops, after) in good {
        assert_eq!(found(ops, after), [], "{ops:?}");
        assert!(has_order(ops, 0, after), "{ops:?}");
    }
}

#[test]
fn known_bad_histories_are_complained_about() {
    let bad: [(&[Op], u64, &str); 8] = [
        (&[write(1, 0, Some(1))], 0, "LOST"),
        (&[write(1, 0, Some(1)), write(2, 2, Some(3))], 1, "LOST"),
        // A read of what was overwritten before it began.
        (&[write(1, 0, Some(1)), write(2, 2, Some(3)), read(1, 4, 5)], 2, "LOST"),
        // Seen, and gone: an unknown write that a read has shown must stay.
        (&[write(1, 0, None), read(1, 1, 2), read(0, 3, 4)], 0, "LOST"),
        (&[write(1, 0, None), write(2, 1, None), read(1, 2, 3), read(2, 4, 5), read(1, 6, 7)], 1, "LOST"),
        (&[read(7, 0, 1), write(7, 2, Some(3))], 7, "before its call"),
        (&[read(9, 0, 1)], 0, "nobody wrote"),
        (&[write(1, 0, Some(9)), read(1, 1, 2), read(0, 3, 4)], 1, "LOST"),
    ];
    for (ops, after, text) in bad {
        let found = found(ops, after);
        assert!(found.iter().any(|wrong| wrong.to_string().contains(text)), "{ops:?}: {found:?}");
        assert!(!has_order(ops, 0, after), "{ops:?}");
    }
}

/// Up to six calls whose begins and ends are shuffled lines; reads see any value.
fn histories() -> impl Strategy<Value = (Vec<Op>, u64)> {
    (1..=6_usize).prop_flat_map(|count| {
        let kinds = proptest::collection::vec((any::<bool>(), 0..4_u64, 0..4_u8), count);
        let lines = Just((0..2 * count).collect::<Vec<_>>()).prop_shuffle();
        (kinds, lines, 0..4_u64).prop_map(|(kinds, lines, after)| {
            let op = |(at, (is_write, value, luck)): (usize, (bool, u64, u8))| {
                let (a, b) = (lines[2 * at], lines[2 * at + 1]);
                // Some writes are not answered; reads without an answer say nothing.
                let end = (!is_write || luck > 0).then_some(a.max(b));
                Op { is_write, value: if is_write { at as u64 + 1 } else { value }, begin: a.min(b), end }
            };
            (kinds.into_iter().enumerate().map(op).collect(), after)
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_zones_agree_with_a_search_through_all_orders((ops, after) in histories()) {
        prop_assert_eq!(found(&ops, after).is_empty(), has_order(&ops, 0, after), "{:?}, {} stored", ops, after);
    }
}
