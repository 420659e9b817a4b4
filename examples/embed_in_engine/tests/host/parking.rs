//! Coroutines that wait: all come to their end, in order, and none longer than it must.

use clawstore::Database;

use crate::support::{Host, wait};

const VMS: usize = 8;

/// 500 coroutines over 8 VMs: each VM has 62 or 63 that append their number to one of five keys of the VM's own, which
/// nobody has used before, and one key of all VMs.
#[test]
fn five_hundred_parked_coroutines_come_to_their_end_in_order() {
    let mut host = Host::new(Database::Memory);
    let per_vm: Vec<usize> = (0..VMS).map(|vm| 500 / VMS + usize::from(vm < 500 % VMS)).collect();
    for (vm, coroutines) in per_vm.iter().enumerate() {
        host.start(&format!(
            "local store = service:GetDataStore('Store')
             local function append(number)
                 return function(list)
                     list = list or {{}}
                     table.insert(list, number)
                     return list
                 end
             end
             for number = 1, {coroutines} do
                 task.spawn(function()
                     store:UpdateAsync('{vm}-' .. number % 5, append(number))
                     store:UpdateAsync('all', append(number + {vm} * 1000))
                     assert(store:GetAsync('{vm}-' .. number % 5) ~= nil)
                     done()
                 end)
             end"
        ));
    }
    assert_eq!(host.manager.instances().map(|instance| instance.bindings().open_calls()).sum::<usize>(), 500);
    host.run_until_done(500);
    assert_eq!(host.manager.instances().map(|instance| instance.bindings().open_calls()).sum::<usize>(), 0);

    let store = host.game().data_store("Store").unwrap();
    let list = |key: &str| wait(store.get::<Vec<usize>>(key)).unwrap().unwrap().value;
    for (vm, coroutines) in per_vm.iter().enumerate() {
        for key in 0..5 {
            let expected: Vec<usize> = (1..=*coroutines).filter(|number| number % 5 == key).collect();
            assert_eq!(list(&format!("{vm}-{key}")), expected, "VM {vm}, key {key}: in the order of the calls");
        }
    }
    let mut all = list("all");
    all.sort_unstable();
    let expected: Vec<usize> =
        per_vm.iter().enumerate().flat_map(|(vm, many)| (1..=*many).map(move |n| n + vm * 1000)).collect();
    assert_eq!(all, expected, "each exactly once");
}

#[test]
fn a_cached_get_takes_no_tick() {
    let mut host = Host::new(Database::Memory);
    host.start(
        "local store = service:GetDataStore('Store')
         store:SetAsync('key', { 1, 2, 3 })
         local before = tick()
         for _ = 1, 100 do
             assert(#store:GetAsync('key') == 3)
         end
         assert(tick() == before, 'cached reads took ' .. tick() - before .. ' ticks')
         done()",
    );
    host.run_until_done(1);
}

#[test]
fn spurious_resumes_change_nothing() {
    let mut host = Host::new(Database::Memory);
    host.start(
        "local store = service:GetDataStore('Store')
         local main = coroutine.running()
         local finished = false
         task.spawn(function()
             while not finished do
                 if coroutine.status(main) == 'suspended' then coroutine.resume(main, 'not yours') end
                 task.wait()
             end
         end)
         for number = 1, 50 do
             store:SetAsync('key', number)
             assert(store:GetAsync('key') == number)
         end
         finished = true
         done()",
    );
    host.run_until_done(1);
}

#[test]
fn the_host_answers_for_services_and_classes() {
    let mut host = Host::new(Database::Memory);
    host.start(
        "assert(game:GetService('DataStoreService') == service)
         assert(not pcall(game.GetService, game, 'TeleportService'))
         local options = Instance.new('DataStoreSetOptions')
         options:SetMetadata({ slot = 1 })
         local store = game:GetService('DataStoreService'):GetDataStore('Store')
         store:SetAsync('key', 'value', { 5 }, options)
         local value, info = store:GetAsync('key')
         assert(value == 'value' and info:GetUserIds()[1] == 5 and info:GetMetadata().slot == 1)
         assert(not pcall(Instance.new, 'Part'))
         done()",
    );
    host.run_until_done(1);
}
