//! Fixed rates for calls of Rust tasks: no queue, so they fail at once; a fair game has none.

use std::sync::atomic::Ordering;

use clawstore_core::CallError;
use clawstore_core::budget::{Charge, Room};
use clawstore_core::clock::{Clock, Timestamp};
use clawstore_core::limits::Limits;

use super::*;
use crate::server::ServerIdentity;

fn refused(result: CallResult) -> String {
    result.expect_err("it fails").text.into_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_and_servers_share_the_rates_of_their_game() {
    let world = World::with(Config { limits: Limits::Roblox, ..Config::default() }).await;
    for number in 0..300 {
        world.game.call(&key_of(&number.to_string()), Request::Remove).await.unwrap();
    }
    let text = refused(world.game.call(&key_of("k"), Request::Remove).await);
    assert!(text.contains("StandardRemoveExperienceThrottled") && text.ends_with("(not applied)"), "{text}");
    let server = world.game.server(ServerIdentity::default());
    let charge = Charge::of(StoreKind::Standard, &Request::Remove);
    assert!(matches!(server.room(None, &charge), Room::Refused(_)), "servers have no other");
    server.identity().players.store(1, Ordering::Relaxed);
    for number in 0..40 {
        assert_eq!(server.room(None, &charge), Room::Now, "{number}: 40 for each player");
    }
    assert!(matches!(server.room(None, &charge), Room::Refused(_)));
    assert!(world.game.call(&key_of("k"), Request::Get).await.is_ok(), "of another type");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_does_not_wait_for_a_throttled_key() {
    let world = World::with(Config { limits: Limits::RobloxClassic, ..Config::default() }).await;
    for _ in 0..60 {
        world.game.call(&key_of("hot"), Request::Remove).await.unwrap();
    }
    assert!(refused(world.game.call(&key_of("hot"), Request::Remove).await).contains("KeyThrottled"));
    assert!(refused(world.game.call_uncached(&key_of("hot")).await).contains("KeyThrottled"));
    world.game.call(&key_of("cold"), Request::Remove).await.unwrap();
}

/// What an update is known to write when it comes is not counted once more when it has ended.
#[tokio::test(flavor = "multi_thread")]
async fn what_updates_write_to_a_key_is_counted_once() {
    let world = World::with(Config { limits: Limits::Roblox, ..Config::default() }).await;
    let text = Value::new(format!("\"{}\"", "x".repeat(1_000_000))).unwrap();
    let large = |_: &Entry| Ok::<_, CallError>(Some(Set { value: text.clone(), attributes: Attributes::default() }));
    for number in 0..5 {
        assert!(world.game.update(&key_of("hot"), large).await.is_ok(), "{number}");
    }
    let text = world.game.update(&key_of("hot"), large).await.expect_err("4 MB a minute").text;
    assert!(text.contains("KeyThrottled"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_does_not_stop_a_game() {
    let clock = Arc::new(ManualClock::default().of_the_world());
    let config = Config { limits: Limits::RobloxClassic, ..Config::default() };
    let (backend, entropy) = (Arc::new(MemoryBackend::new()), Arc::new(SeededEntropy::new(1)));
    let process = Process::start(backend, Arc::clone(&clock) as _, entropy, Handle::current(), config).await.unwrap();
    let game = process.game(GameId::Number(1)).unwrap();
    let charge = Charge::of(StoreKind::Standard, &Request::Remove);
    let room = || game.room(Some(&key_of("k")), &charge);
    for _ in 0..60 {
        assert_eq!(room(), Room::Now);
    }
    assert!(matches!(room(), Room::In(_)));
    clock.set_wall(Timestamp::from_unix_ms(clock.wall().unix_ms() - 3_600_000));
    clock.advance(Duration::from_secs(61));
    assert_eq!(room(), Room::Now);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_fixed_rates_nothing_is_counted() {
    for limits in [Limits::Off, Limits::Fair] {
        let world = World::with(Config { limits, ..Config::default() }).await;
        for _ in 0..400 {
            world.game.call(&key_of("k"), Request::Remove).await.unwrap();
        }
    }
}
