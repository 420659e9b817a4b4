//! Nothing is lost and nothing is applied twice, whoever takes part.

use std::time::Duration;

use clawstore::clock::Clock;
use clawstore::{CloseReason, Database, SystemClock};

use crate::support::{Host, wait};

const COROUTINES: usize = 64;
/// Two VMs on one key: none waits longer for the other than this. The promise is 100 ms; a loaded machine gets some more.
const GAP_MAX: Duration = Duration::from_millis(400);

fn increments() -> String {
    format!(
        "local store = service:GetDataStore('Store')
         for _ = 1, {COROUTINES} do
             task.spawn(function()
                 for _ = 1, 100 do store:IncrementAsync('count', 1) end
                 done()
             end)
         end"
    )
}

/// Each VM counts in a field of its own, so that the counts of one are exact whatever becomes of another.
fn updates(field: &str) -> String {
    format!(
        "local store = service:GetDataStore('Store')
         local function add(counts)
             counts = counts or {{}}
             counts.{field} = (counts.{field} or 0) + 1
             return counts
         end
         for _ = 1, {COROUTINES} do
             task.spawn(function()
                 for _ = 1, 50 do
                     assert(store:UpdateAsync('counts', add) ~= nil)
                 end
                 done()
             end)
         end"
    )
}

fn count_increments(vms: usize) {
    let directory = tempfile::tempdir().unwrap();
    let mut host = Host::new(Database::directory(directory.path()));
    for _ in 0..vms {
        host.start(&increments());
    }
    host.run_until_done(COROUTINES * vms);
    let store = host.game().data_store("Store").unwrap();
    assert_eq!(wait(store.get::<usize>("count")).unwrap().unwrap().value, 6_400 * vms);
    let report = host.drain();
    assert_eq!((report.failed, report.unknown), (0, 0));
}

#[test]
fn increments_of_64_coroutines_end_at_6400() {
    count_increments(1);
}

#[test]
fn increments_of_two_vms_at_once_end_at_twice_that() {
    count_increments(2);
}

fn counts(host: &Host, field: &str) -> usize {
    type Counts = std::collections::BTreeMap<String, usize>;
    let store = host.game().data_store("Store").unwrap();
    wait(store.get::<Counts>("counts")).unwrap().unwrap().value.get(field).copied().unwrap_or_default()
}

#[test]
fn updates_of_64_coroutines_end_at_3200() {
    let directory = tempfile::tempdir().unwrap();
    let mut host = Host::new(Database::directory(directory.path()));
    host.start(&updates("a"));
    host.run_until_done(COROUTINES);
    assert_eq!(counts(&host, "a"), 3_200);
}

#[test]
fn updates_of_two_vms_at_once_end_at_3200_each() {
    let directory = tempfile::tempdir().unwrap();
    let mut host = Host::new(Database::directory(directory.path()));
    host.start(&updates("a"));
    host.start(&updates("b"));
    host.run_until_done(2 * COROUTINES);
    assert_eq!((counts(&host, "a"), counts(&host, "b")), (3_200, 3_200));
}

/// The VM `a` stops in the middle; `b` goes on. Returns its longest wait for the next update to end.
fn longest_gap(host: &mut Host, mut tick: impl FnMut(&mut Host)) -> Duration {
    let clock = SystemClock::start();
    let (mut last, mut gap, mut open) = (clock.now(), Duration::ZERO, usize::MAX);
    let saves = host.game().stats().saves;
    let mut seen = saves;
    while host.counts.done() < COROUTINES && open > 0 {
        tick(host);
        let saves = host.game().stats().saves;
        if saves > seen {
            gap = gap.max(clock.now().since(last));
            (last, seen) = (clock.now(), saves);
        }
        assert!(clock.now().since(last) < Duration::from_secs(30), "it stands still");
        open = host.manager.instances().last().unwrap().parked();
        std::thread::park_timeout(Duration::from_millis(16));
    }
    gap
}

fn run_some(host: &mut Host) {
    while host.game().stats().saves < 100 {
        host.tick();
        std::thread::park_timeout(Duration::from_millis(16));
    }
}

#[test]
fn a_vm_that_is_never_polled_again_delays_another_only_briefly() {
    let mut host = Host::new(Database::Memory);
    let halted = host.start(&updates("a"));
    let other = host.start(&updates("b"));
    run_some(&mut host);
    // Only the other is ticked from here on, as by an engine that has paused one of its games.
    let gap = longest_gap(&mut host, |host| host.manager.instance(other).unwrap().tick());
    assert!(gap < GAP_MAX, "{gap:?}");
    assert_eq!(counts(&host, "b"), 3_200);
    assert!(counts(&host, "a") < 3_200);
    host.manager.destroy(halted, CloseReason::OutOfMemory);
}

#[test]
fn a_vm_that_is_dropped_delays_another_only_briefly() {
    let mut host = Host::new(Database::Memory);
    let dropped = host.start(&updates("a"));
    host.start(&updates("b"));
    run_some(&mut host);
    host.manager.destroy(dropped, CloseReason::OutOfMemory);
    let gap = longest_gap(&mut host, Host::tick);
    assert!(gap < GAP_MAX, "{gap:?}");
    assert_eq!(counts(&host, "b"), 3_200);
    let a = counts(&host, "a");
    assert!(a < 3_200, "accepted updates went on, the others did not run: {a}");
}
