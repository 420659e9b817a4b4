//! Fixed rates for calls of Rust tasks: no queue, so they fail at once; a fair game has none.

use std::sync::atomic::Ordering;

use clawstore_core::budget::{Charge, Room};
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

#[tokio::test(flavor = "multi_thread")]
async fn without_fixed_rates_nothing_is_counted() {
    for limits in [Limits::Off, Limits::Fair] {
        let world = World::with(Config { limits, ..Config::default() }).await;
        for _ in 0..400 {
            world.game.call(&key_of("k"), Request::Remove).await.unwrap();
        }
    }
}
