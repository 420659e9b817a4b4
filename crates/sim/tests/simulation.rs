//! The simulation: many seeds without a finding, the same seed twice the same, mutants noticed.
//!
//! Owns: what can run with every change. Does not own: nights of seeds (`cargo xtask sim --seeds`).
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use clawstore_core::mutant::Mutant;
use clawstore_sim::simulation::{Options, run};

/// A tier of what runs at night.
const SEEDS: u64 = 300;

#[test]
fn nothing_is_wrong_in_the_first_seeds_and_all_of_each_happens() {
    let options = Options::default();
    let mut ends = [0; 4];
    for seed in 0..SEEDS {
        let (report, _) = run(seed, options);
        assert!(report.broken.is_empty(), "{report}\n{:#?}\n{}", report.broken, report.replay_command(options));
        assert!(report.calls >= options.calls && report.faults >= options.faults, "too little happened: {report}");
        for (sum, count) in ends.iter_mut().zip([report.acked, report.failed, report.unknown, report.lost]) {
            *sum += count;
        }
    }
    let [acked, failed, unknown, lost] = ends;
    assert!(acked > failed * 10 && failed > 0 && unknown > 0 && lost > 0, "one-sided: {ends:?}");
}

#[test]
fn the_same_seed_gives_the_same_log_and_another_one_another() {
    let options = Options { keeps_lines: true, ..Options::default() };
    let text = |seed| {
        let (report, lines) = run(seed, options);
        let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        (lines.join("\n"), report)
    };
    let mut digests = BTreeSet::new();
    for seed in 0..10 {
        let (first, report) = text(seed);
        assert!(first.lines().count() > 1_000 && first.lines().count() as u64 == report.lines);
        assert_eq!((first, report.clone()), text(seed), "seed {seed}");
        assert_eq!(run(seed, Options::default()).0, report, "with and without the lines");
        digests.insert(report.digest);
    }
    assert_eq!(digests.len(), 10);
}

/// With its rule broken a run shows it, and with the rule kept the same run does not.
fn notice(mutant: Mutant, seeds: u64) -> String {
    let broken = Options { mutant: Some(mutant), ..Options::default() };
    for seed in 0..seeds {
        let (report, _) = run(seed, broken);
        if let Some(finding) = report.broken.first() {
            let kept = run(seed, Options::default()).0;
            assert!(kept.broken.is_empty(), "{kept}");
            assert!(report.replay_command(broken).contains(&format!("--mutant {} --trace", mutant.name())));
            return finding.clone();
        }
    }
    panic!("{} is not noticed in {seeds} seeds", mutant.name());
}

#[test]
fn mutants_are_noticed() {
    for mutant in Mutant::ALL {
        // Rare: it takes a read between two faults of the database.
        if mutant != Mutant::ReadWithoutBarrier {
            assert!(!notice(mutant, 200).is_empty());
        }
    }
}

#[test]
fn a_call_that_failed_and_took_effect_is_told_from_others() {
    let finding = notice(Mutant::SentIsFailed, 200);
    assert!(finding.contains("I3") || finding.contains("I1 to I3") || finding.contains("I4"), "{finding}");
}

#[test]
fn larger_worlds_and_calm_ones_run_too() {
    let large = Options { servers: 5, calls: 1_500, faults: 12, ..Options::default() };
    let calm = Options { faults: 0, ..Options::default() };
    for (options, seed) in [(large, 1), (large, 2), (calm, 3), (calm, 4)] {
        let (report, _) = run(seed, options);
        assert!(report.broken.is_empty(), "{report}\n{:#?}", report.broken);
        assert!(report.calls >= options.calls && report.faults >= options.faults, "{report}");
    }
}
