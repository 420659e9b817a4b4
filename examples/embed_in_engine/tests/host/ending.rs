//! What is saved when a VM, or the process, goes.

use std::sync::Arc;
use std::time::Duration;

use clawstore::{Clawstore, CloseReason, Database};
use clawstore_testkit::{GatedBackend, MemoryBackend};

use crate::support::{GAME, Host, wait};

fn save_many(count: usize) -> String {
    format!(
        "local store = service:GetDataStore('Store')
         for number = 1, {count} do
             task.spawn(function() store:SetAsync('key' .. number, number) end)
         end"
    )
}

fn gated() -> (Arc<GatedBackend>, Host) {
    let backend = Arc::new(GatedBackend::new(Arc::new(MemoryBackend::new())));
    let store = Clawstore::builder().database(Database::Custom(Arc::clone(&backend) as _)).open().unwrap();
    (backend, Host::with_store(store))
}

#[test]
fn a_save_that_is_never_resumed_becomes_durable() {
    let directory = tempfile::tempdir().unwrap();
    let mut host = Host::new(Database::directory(directory.path()));
    let id = host.start(&save_many(10));
    // Not one tick later: the instance is gone while all its saves are open.
    host.manager.destroy(id, CloseReason::ServerEmpty);
    let report = host.drain();
    assert_eq!((report.failed, report.unknown), (0, 0));

    let store = Clawstore::builder().database(Database::directory(directory.path())).open().unwrap();
    let saved = store.game(GAME).unwrap().data_store("Store").unwrap();
    for number in 1..=10 {
        assert_eq!(wait(saved.get::<u32>(&format!("key{number}"))).unwrap().unwrap().value, number);
    }
}

#[test]
fn an_empty_instance_is_destroyed_and_its_last_saves_go_on() {
    let (backend, mut host) = gated();
    backend.hold();
    let id = host.start(
        "local store = service:GetDataStore('Store')
         game:GetService('Players').PlayerRemoving:Connect(function(player)
             store:SetAsync('player_' .. player.UserId, 'saved')
         end)",
    );
    host.manager.instance(id).unwrap().leave(1).unwrap();
    while host.manager.instance(id).is_some() {
        host.manager.tick();
    }
    backend.release();
    let store = host.game().data_store("Store").unwrap();
    let saved = wait(store.get::<String>("player_1")).unwrap();
    assert_eq!(saved.unwrap().value, "saved");
}

#[test]
fn shutdown_saves_what_is_dirty_and_counts_it() {
    let (backend, mut host) = gated();
    backend.hold();
    let id = host.start(&save_many(200));
    host.tick();
    host.manager.destroy(id, CloseReason::DeveloperShutdown);
    let store = host.game().data_store("Probe").unwrap();
    let release = std::thread::spawn(move || {
        wait(backend.wait_commits_started(1));
        // What ends before the drain has begun is not in its report: from then on calls are refused.
        while wait(store.get::<String>("probe")).is_ok() {}
        backend.release();
    });
    let report = host.drain();
    release.join().unwrap();
    // A probe may have been on its way.
    assert!((200..=201).contains(&report.acked) && report.failed + report.unknown == 0, "{report:?}");
}

#[test]
fn shutdown_ends_at_its_deadline_and_says_what_is_open() {
    let (backend, mut host) = gated();
    backend.hold();
    let id = host.start(&save_many(200));
    host.tick();
    wait(backend.wait_commits_started(1));
    host.manager.destroy(id, CloseReason::DeveloperShutdown);
    let report = host.manager.shut_down(Duration::from_millis(300));
    assert_eq!(report.acked + report.failed + report.unknown, 200, "{report:?}");
    assert!(report.acked == 0 && report.unknown > 0, "the batch that was sent may have been applied: {report:?}");
}
