//! The write path against a plain model: random calls, schedules and faults, one key, several VMs.
//!
//! The real `KeyMachine`, `PendingWrites`, `Lane` and `VmQueue` are joined by message queues that deliver in random
//! order between parties and in order within each; a model store applies batches. What is checked is in `world.rs`.

#[path = "model/world.rs"]
mod world;

use proptest::prelude::*;
use world::{Fault, Step, World};

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3usize).prop_map(Step::Update),
        2 => (0..3usize).prop_map(Step::Cancel),
        3 => (0..3usize).prop_map(Step::Set),
        2 => (0..3usize).prop_map(Step::PoisonSet),
        1 => (0..3usize).prop_map(Step::Erase),
        3 => (0..3usize).prop_map(Step::Get),
        12 => Just(Step::DeliverToMachine),
        12 => Just(Step::DeliverToFlusher),
        6 => Just(Step::StartBatch),
        6 => prop_oneof![
            6 => Just(Fault::None),
            1 => Just(Fault::Unavailable),
            1 => Just(Fault::LostReply),
            1 => Just(Fault::LostRequest),
            1 => Just(Fault::OutsideWrite),
            1 => Just(Fault::Stolen),
            1 => Just(Fault::LaneGone),
        ].prop_map(Step::FinishBatch),
        8 => (0..3usize).prop_map(Step::PollVm),
        1 => (0..3usize).prop_map(Step::FailInVm),
        1 => (1u64..12_000).prop_map(Step::Advance),
        1 => Just(Step::MachineFault),
        1 => Just(Step::HandOver),
        1 => Just(Step::FindLost),
        1 => (1..3usize).prop_map(Step::DropVm),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn every_call_ends_once_and_as_it_says(steps in prop::collection::vec(step(), 1..160)) {
        let mut world = World::default();
        for step in steps {
            world.apply(step);
        }
        world.heal();
        world.check();
    }
}

/// The model must be able to fail: a store that forgets a commit is found out.
#[test]
fn a_lost_commit_is_found() {
    let mut world = World::default();
    world.apply(Step::Set(0));
    world.settle_all();
    world.forget_last_commit();
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.check()));
    assert!(found.is_err(), "the checker accepted a lost write");
}
