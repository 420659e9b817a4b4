//! Reads of keys without an actor: shared flights, the 4 s cache, and never older than this server's own writes.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn readers_of_a_cold_key_share_one_read() {
    let world = World::new().await;
    world.gate.hold_reads();
    let readers: Vec<_> = (0..50)
        .map(|_| {
            let game = Arc::clone(&world.game);
            world.game.runtime.spawn(async move { game.call(&key_of("cold"), Request::Get).await })
        })
        .collect();
    let mut started = world.gate.reads_started();
    soon(started.wait_for(|&n| n >= 1)).await.unwrap();
    // All fifty have asked once the slot counts them.
    let slot = world.game.directory.existing(&key_of("cold")).unwrap();
    soon(async {
        while slot.open.load(std::sync::atomic::Ordering::Acquire) < 50 {
            tokio::task::yield_now().await
        }
    })
    .await;
    world.gate.release_reads();
    for reader in readers {
        assert_eq!(number(soon(reader).await.unwrap()), None);
    }
    assert_eq!(world.gate.keys_read(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_value_is_served_again_for_four_seconds() {
    let world = World::new().await;
    for _ in 0..5 {
        assert_eq!(number(world.call("k", Request::Get).await), None);
    }
    assert_eq!(world.gate.keys_read(), 1, "misses are cached too");
    world.clock.advance(Duration::from_millis(3_999));
    world.call("k", Request::Get).await.unwrap();
    assert_eq!(world.gate.keys_read(), 1);
    world.clock.advance(Duration::from_millis(1));
    world.call("k", Request::Get).await.unwrap();
    assert_eq!(world.gate.keys_read(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flight_that_began_before_a_write_is_not_served_after_it() {
    let world = World::new().await;
    world.gate.hold_reads();
    let early = {
        let game = Arc::clone(&world.game);
        world.game.runtime.spawn(async move { game.call(&key_of("k"), Request::Get).await })
    };
    let mut started = world.gate.reads_started();
    soon(started.wait_for(|&n| n >= 1)).await.unwrap();
    let write = world.submit(1, 1, "k", set(7));
    world.gate.release_reads();
    assert_eq!(number(soon(write).await.unwrap()), Some(7));
    assert_eq!(number(world.call("k", Request::Get).await), Some(7));
    soon(early).await.unwrap().unwrap();
    // Without an actor the key shows its cache entry: the old flight must not have left its value there.
    let slot = world.game.directory.existing(&key_of("k")).unwrap();
    soon(async {
        while world.game.stats().active_keys > 0 {
            world.game.passivate(&slot);
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(number(world.call("k", Request::Get).await), Some(7));
}
