//! What must hold at the end of a run.

use clawstore_core::error::Outcome;
use clawstore_core::key_machine::Writer;
use clawstore_core::ops::Reply;

use crate::server::number;
use crate::world::{Call, World};

/// How often the call that adds `delta`, a power of four, has been applied.
fn times(number: i64, delta: i64) -> i64 {
    number / delta % 4
}

/// Has everything in `part` been applied in `whole`?
fn contains(whole: i64, part: i64) -> bool {
    (0..31).map(|n| 4_i64.pow(n)).all(|delta| times(whole, delta) >= times(part, delta))
}

impl World {
    pub(crate) fn check(&self) {
        let stored = number(&self.store.entry);
        let mut shown = Vec::new();
        for (writer, call) in &self.calls {
            check_call(*writer, call, stored);
            if let (true, Some(Ok(Reply::Entry(entry)))) = (call.delta > 0, call.answers.first()) {
                shown.push((entry.revision, number(entry)));
                self.check_order(*writer, number(entry));
            }
        }
        shown.sort_unstable();
        for pair in shown.windows(2) {
            assert!(pair[0].0 < pair[1].0, "two calls made the same revision: {pair:?}");
            assert!(contains(pair[1].1, pair[0].1), "a later revision lacks what an earlier one had: {pair:?}");
        }
        assert!(
            (0..3).all(|server| self.head(server).is_none_or(|head| head.entry.revision <= self.store.entry.revision))
        );
    }

    /// What a VM called before, and what was applied, is in what it is shown.
    fn check_order(&self, writer: Writer, shown: i64) {
        let earlier = Writer { vm: writer.vm, op: 0 }..writer;
        for (earlier, call) in self.calls.range(earlier).filter(|(_, call)| call.delta > 0) {
            if let Some(Ok(_)) = call.answers.first() {
                assert_eq!(times(shown, call.delta), 1, "{writer:?} was applied before {earlier:?} of its VM");
            }
        }
    }
}

fn check_call(writer: Writer, call: &Call, stored: i64) {
    let first = call.answers.first().unwrap_or_else(|| panic!("A8: {writer:?} {call:?} was never answered"));
    let settled_after_unknown = matches!(first, Err(error) if error.outcome == Outcome::Unknown);
    assert!(call.answers.len() == 1 || settled_after_unknown, "answered twice: {call:?}");
    let applied = if call.delta > 0 { times(stored, call.delta) } else { 0 };
    match first {
        Ok(_) if call.delta > 0 => assert_eq!(applied, 1, "I1, I2: {writer:?} {call:?}"),
        Ok(_) => {}
        Err(error) if error.outcome == Outcome::Fail => assert_eq!(applied, 0, "I3: {writer:?} {call:?}"),
        Err(_) => assert!(applied <= 1, "I2: {writer:?} {call:?}"),
    }
    let shown = match first {
        Ok(Reply::Entry(entry)) => Some(number(entry)),
        Ok(Reply::Cancelled) => call.saw,
        _ => None,
    };
    if let Some(shown) = shown {
        assert!(contains(call.stored_then, shown), "I4: {writer:?} was shown what was not stored: {call:?}");
        assert!(contains(shown, call.acked_before), "{writer:?} saw a state from before it was called: {call:?}");
        assert!(!call.is_read || call.delta == 0);
        if call.delta > 0 {
            assert_eq!(times(shown, call.delta), 1, "the answer lacks what the call did: {call:?}");
        }
    }
}
