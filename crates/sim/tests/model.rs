//! The model itself: complete where it is small, every mutant caught, the same twice, readable when it breaks.
//!
//! Owns: what can run with every change. Does not own: the large configuration (`cargo xtask sim`).
#![allow(clippy::unwrap_used, reason = "tests")]

use clawstore_core::mutant::Mutant;
use clawstore_sim::checker::explore;
use clawstore_sim::config::{Budget, Config, RowChecks};
use clawstore_sim::invariants::Invariant;

const STATES_MAX: u32 = 2_000_000;

/// What falls with each mutant, as callers see it, and how far away.
const FALLS: [(Mutant, Invariant, usize); 11] = [
    (Mutant::BatchDoneOnly, Invariant::I1, 18),
    (Mutant::UnknownByReading, Invariant::I2, 21),
    (Mutant::ReplayWithoutBarrier, Invariant::I1, 13),
    (Mutant::CancelledWaitIsOk, Invariant::I1, 11),
    (Mutant::RerunBeforeSettling, Invariant::I2, 19),
    (Mutant::LanesGoWithTheDead, Invariant::I2, 22),
    (Mutant::SpeculativeReads, Invariant::I4, 6),
    (Mutant::ReadWithoutBarrier, Invariant::I4, 11),
    (Mutant::SentIsFailed, Invariant::I3, 9),
    (Mutant::NoChecks, Invariant::I1, 20),
    (Mutant::AsyncStandby, Invariant::I1, 9),
];

#[test]
fn the_protocol_holds_in_every_state_of_the_small_model_and_twice_the_same() {
    let report = explore(&Config::small(), STATES_MAX);
    assert!(report.complete && report.violation.is_none(), "{report:?}");
    assert!(report.states > 100_000, "hardly anything happened: {report:?}");
    assert_eq!(explore(&Config::small(), STATES_MAX), report);
}

#[test]
fn every_mutant_is_caught() {
    assert_eq!(FALLS.map(|(mutant, ..)| mutant), Mutant::ALL);
    for (mutant, invariant, depth) in FALLS {
        let report = explore(&Config::broken(mutant), STATES_MAX);
        let violation = report.violation.unwrap_or_else(|| panic!("{mutant:?} is not caught"));
        assert_eq!((violation.invariant, violation.trace.len()), (invariant, depth), "{mutant:?}:\n{violation}");
    }
}

/// A mutant is caught for its own sake: with the rule kept, the same budget is safe.
#[test]
fn nothing_is_caught_where_no_rule_is_broken() {
    for mutant in Mutant::ALL {
        let config =
            Config { mutant: None, checks: RowChecks { fence: true, version: true }, ..Config::broken(mutant) };
        let report = explore(&config, STATES_MAX);
        assert!(report.complete && report.violation.is_none(), "{mutant:?} with its rule kept: {report:?}");
    }
}

/// The two checks of a row back each other up.
#[test]
fn the_fence_alone_and_the_version_alone_are_safe() {
    for config in [Config::only_fence(), Config::only_version()] {
        let config = Config { budget: Config::broken(Mutant::NoChecks).budget, ..config };
        let report = explore(&config, STATES_MAX);
        assert!(report.complete && report.violation.is_none(), "{}: {report:?}", config.name);
    }
}

#[test]
fn a_trace_is_the_way_to_the_violation_in_words() {
    let violation = explore(&Config::broken(Mutant::AsyncStandby), STATES_MAX).violation.unwrap();
    let expected = "\
I1: an acknowledged operation is lost
   1. A is called: operation 1
   2. A asks for the lease with fence 1
   3. database: acquisition of A is in the log: Granted
   4. A gets the answer to its acquisition: Granted, value []
   5. A sends batch 1: fence 1, base 0, value [1]
   6. database: batch 1 of A has its locks
   7. database: batch of A is in the log: Applied
   8. A gets the answer to its batch: Applied, value [1]
   9. database: the standby takes over
";
    assert_eq!(violation.to_string(), expected);
}

#[test]
fn a_search_that_was_cut_short_is_not_complete() {
    let report = explore(&Config::small(), 1_000);
    assert!(!report.complete && report.violation.is_none(), "{report:?}");
    let nothing = explore(&Config { budget: Budget::default(), ..Config::small() }, 1_000);
    assert_eq!((nothing.states, nothing.transitions, nothing.complete), (1, 0, true));
}
