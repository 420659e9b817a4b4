//! Random sequences of all operations, as scripts see them, on each backend and on a plain model of the spec: same answers,
//! pages, ids and errors. Time is simulated: seconds to months.
#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

#[path = "api_model/generate.rs"]
mod generate;
#[path = "support/host.rs"]
mod host;
#[path = "api_model/model.rs"]
mod model;
#[path = "api_model/op.rs"]
mod op;
#[path = "api_model/pages.rs"]
mod pages;
#[path = "support/place.rs"]
mod place;
#[path = "api_model/samples.rs"]
mod samples;
#[path = "api_model/server.rs"]
mod server;
#[path = "api_model/tokens.rs"]
mod tokens;
#[path = "api_model/world.rs"]
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use place::{Place, on_each_place};
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::op::Sequence;
use crate::world::{Kept, World};

/// Runs a sequence in a game of its own.
fn run(place: &Place, sequence: &Sequence, kept: Kept) -> Result<(), String> {
    static GAMES: AtomicU64 = AtomicU64::new(1);
    let mut world = World::new(place, GAMES.fetch_add(1, Ordering::Relaxed), kept);
    let result = sequence.0.iter().try_for_each(|op| world.step(op));
    world.close();
    result
}

fn check(place: &Place, kept: Kept) {
    let (cases, length) = match place {
        Place::Memory(_) => (100, 60),
        Place::Sqlite(_) => (60, 50),
        Place::Postgres(_) => (24, 40),
    };
    let cases = std::env::var("API_MODEL_CASES").map_or(cases, |cases| cases.parse().unwrap());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let result =
        runner.run(&generate::sequences(length), |sequence| run(place, &sequence, kept).map_err(TestCaseError::fail));
    if let Err(error) = result {
        panic!("{error}");
    }
}

on_each_place! {
    with_versions_of_each_hour: |place| check(place, Kept::Hourly);
    with_every_version_of_a_week: |place| check(place, Kept::Every);
}
