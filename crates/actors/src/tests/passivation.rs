//! Keys leave memory when they are idle or memory is short, and only when they are clean.

use super::*;

fn active(world: &World) -> usize {
    world.game.stats().active_keys
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_keys_leave_and_come_back() {
    let world = World::with(Config { idle_before_passivation: Duration::from_secs(1), ..Config::default() }).await;
    for k in 0..10 {
        world.call(&format!("k{k}"), set(k)).await.unwrap();
    }
    assert_eq!(active(&world), 10);
    world.game.seconds.fetch_add(4, std::sync::atomic::Ordering::Relaxed);
    soon(async {
        while active(&world) > 0 {
            world.game.sweep();
            tokio::task::yield_now().await
        }
    })
    .await;
    let before = world.gate.keys_read();
    assert_eq!(number(world.call("k3", Request::Get).await), Some(3), "left as a cache entry");
    assert_eq!(world.gate.keys_read(), before);
    assert_eq!(number(soon(world.call("k3", increment(1))).await), Some(4));
    assert_eq!(active(&world), 1);
    world.clock.advance(Duration::from_secs(5));
    soon(async {
        while world.game.directory.len() > 1 {
            world.game.sweep();
            tokio::task::yield_now().await
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn above_the_ceiling_the_longest_unused_leave_first() {
    let world = World::with(Config { cache_bytes: 20 * 8 * 1024, ..Config::default() }).await;
    for k in 0..60 {
        world.call(&format!("k{k}"), set(k)).await.unwrap();
    }
    for k in 0..10 {
        // Used again, later than the others: a second is the unit of time here.
        world.game.seconds.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        world.call(&format!("k{k}"), increment(0)).await.unwrap();
    }
    soon(async {
        while active(&world) > 20 {
            world.game.sweep();
            tokio::task::yield_now().await
        }
    })
    .await;
    for k in 0..10 {
        assert!(world.game.published_head(&key_of(&format!("k{k}"))).is_some(), "k{k} was used last and left");
    }
    for k in 0..60 {
        assert_eq!(number(soon(world.call(&format!("k{k}"), increment(1))).await), Some(k + 1), "nothing was lost");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dirty_key_stays() {
    let world = World::with(Config { idle_before_passivation: Duration::from_secs(1), ..Config::default() }).await;
    world.call("k", set(0)).await.unwrap();
    world.gate.hold();
    let write = world.submit(1, 1, "k", increment(1));
    let mut started = world.gate.commits_started();
    soon(started.wait_for(|&n| n >= 2)).await.unwrap();
    world.game.seconds.fetch_add(10, std::sync::atomic::Ordering::Relaxed);
    world.game.sweep();
    // Also when something came after the sweep had chosen the key.
    world.game.passivate(&world.game.directory.existing(&key_of("k")).unwrap());
    assert_eq!(active(&world), 1, "A5");
    world.gate.release();
    assert_eq!(number(soon(write).await.unwrap()), Some(1));
}
