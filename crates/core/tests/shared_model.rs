//! A key that several servers share against a plain model: random calls, schedules and faults.
//!
//! Each server has the real `KeyMachine`, `PendingWrites`, `Lane` and `VmQueue`s; the store is a model. At times a server takes
//! the key for itself and shares it again. What is checked is in `world.rs`.

#[path = "shared_model/checks.rs"]
mod checks;
#[path = "shared_model/server.rs"]
mod server;
#[path = "shared_model/store.rs"]
mod store;
#[path = "shared_model/world.rs"]
mod world;

use proptest::prelude::*;
use store::Fault;
use world::{SERVERS, Step, World};

fn step() -> impl Strategy<Value = Step> {
    let vm = || (0..SERVERS, 0..2usize);
    prop_oneof![
        8 => vm().prop_map(|(server, vm)| Step::Increment(server, vm)),
        3 => vm().prop_map(|(server, vm)| Step::Update(server, vm)),
        2 => vm().prop_map(|(server, vm)| Step::Cancel(server, vm)),
        1 => vm().prop_map(|(server, vm)| Step::Get(server, vm)),
        14 => (0..SERVERS).prop_map(Step::DeliverToMachine),
        14 => (0..SERVERS).prop_map(Step::DeliverToFlusher),
        8 => (0..SERVERS).prop_map(Step::StartBatch),
        8 => (0..SERVERS, prop_oneof![
            8 => Just(Fault::None),
            1 => Just(Fault::Unavailable),
            1 => Just(Fault::Invalid),
            1 => Just(Fault::LostReply),
            1 => Just(Fault::LostRequest),
            1 => Just(Fault::LaneGone),
            1 => Just(Fault::SumsRefused),
            1 => Just(Fault::Reworded),
        ]).prop_map(|(server, fault)| Step::FinishBatch(server, fault)),
        8 => vm().prop_map(|(server, vm)| Step::PollVm(server, vm)),
        4 => (0..SERVERS).prop_map(Step::Read),
        4 => (0..SERVERS).prop_map(Step::Activate),
        1 => (0..SERVERS).prop_map(Step::TakeAlone),
        1 => (0..SERVERS).prop_map(Step::HandOver),
        1 => (0..SERVERS).prop_map(Step::MachineFault),
        1 => (1u64..12_000).prop_map(Step::Advance),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn every_call_of_every_server_ends_once_and_as_it_says(steps in prop::collection::vec(step(), 1..220)) {
        let mut world = World::default();
        for step in steps {
            world.apply(step);
        }
        world.heal();
        world.check();
    }
}

/// Increments of all servers meet as sums: none loses a race, and all get an answer of their own.
#[test]
fn increments_of_all_servers_go_as_sums() {
    let mut world = World::default();
    for _ in 0..2 {
        for server in 0..SERVERS {
            world.apply(Step::Increment(server, 0));
            world.apply(Step::Increment(server, 1));
        }
        world.heal();
    }
    world.check();
    assert!(world.sums() >= 2 * SERVERS);
    assert_eq!(world.states(), 0, "nobody needs to know what is stored");
}

/// The model must be able to fail: a sum that is added twice is found out.
#[test]
fn a_sum_that_is_added_twice_is_found() {
    let mut world = World::default();
    world.forget_lanes();
    world.apply(Step::Increment(0, 0));
    world.apply(Step::Activate(0));
    world.apply(Step::DeliverToMachine(0));
    world.apply(Step::DeliverToFlusher(0));
    world.apply(Step::StartBatch(0));
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        world.apply(Step::FinishBatch(0, Fault::LostReply));
        world.heal();
        world.check();
    }));
    assert!(found.is_err(), "the checker accepted a call that was applied twice");
}
