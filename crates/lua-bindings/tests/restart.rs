//! What scripts have stored is there after a restart, to the last member: on every backend.
#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

#[path = "support/host.rs"]
mod host;
#[path = "support/place.rs"]
mod place;

use host::{Host, Kind, Store};
use place::{Place, on_each_place};

/// Notes in the global text `seen` all that there is to see.
const LOOK: &str = r#"
    local found = {}
    local function note(...)
        table.insert(found, table.concat({ ... }, " "))
    end
    local function note_entry(value, info)
        local users = table.concat(info:GetUserIds(), ",")
        note(if type(value) == "table" then "table" else tostring(value), info.Version, info.CreatedTime, info.UpdatedTime, users, info:GetMetadata().title or "")
    end
    local s, scores = store("Kept"), DataStoreService:GetOrderedDataStore("Kept")
    for _, name in listed(DataStoreService:ListDataStoresAsync(), "DataStoreName") do
        note("store", name)
    end
    local keys = s:ListKeysAsync("", 1)
    note("cursor", keys.Cursor)
    for _, key in listed(keys, "KeyName") do
        local versions = s:ListVersionsAsync(key):GetCurrentPage()
        for _, version in versions do
            note_entry(s:GetVersionAsync(key, version.Version))
            note_entry(s:GetVersionAtTimeAsync(key, version.CreatedTime))
            note(key, tostring(version.IsDeleted))
        end
    end
    for _, item in scores:GetSortedAsync(true, 10):GetCurrentPage() do
        note(item.key, item.value)
    end
    note(buffer.tostring(s:GetAsync("value").bytes), tostring(s:GetAsync("value").nan), #s:GetAsync("value").text)
    note(tostring((s:GetAsync("removed"))), scores:BatchGetAsync({ "ann" }).ann.value)
    note((DataStoreService:GetGlobalDataStore():GetAsync("g")), (DataStoreService:GetDataStore("Kept", "gold"):GetAsync("k")))
    seen = table.concat(found, "\n")
"#;

const WRITE: &str = r#"
    local s, scores = store("Kept"), DataStoreService:GetOrderedDataStore("Kept")
    local options = DataStoreSetOptions()
    options:SetMetadata({ title = "Knight" })
    s:SetAsync("k", 1, { 7, 8 }, options)
    s:UpdateAsync("k", function(old)
        return old + 1, { 9 }, { title = "Baron" }
    end)
    s:IncrementAsync("k", 40)
    s:SetAsync("value", { bytes = buffer.fromstring("\0\1 bytes"), nan = 0 / 0, text = string.rep("ü", 100_000) })
    s:SetAsync("removed", true)
    s:RemoveAsync("removed")
    scores:SetAsync("ann", -5)
    scores:SetAsync("bob", 2 ^ 53)
    DataStoreService:GetGlobalDataStore():SetAsync("g", "global")
    DataStoreService:GetDataStore("Kept", "gold"):SetAsync("k", "gold")
"#;

fn seen(place: &Place, scripts: &[&str]) -> String {
    let store = Store::on(place);
    let host = Host::new(&store.game(1), Kind::Scheduler);
    for script in scripts {
        host.start("script", script);
        host.run();
    }
    let seen = host.lua.globals().get("seen").unwrap();
    drop(host);
    store.drain();
    seen
}

fn everything_is_there(place: &Place) {
    let before = seen(place, &[WRITE, LOOK]);
    assert!(before.contains("Baron") && before.lines().count() > 15, "{before}");
    for _ in 0..2 {
        assert_eq!(seen(place, &[LOOK]), before);
    }
}

on_each_place! {
    everything: everything_is_there;
}
