//! Calls that are refused whatever they ask for: 401 after the end of the game, 403 without access, each method with its code,
//! its text, and its line in the log.
#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

#[path = "support/host.rs"]
mod host;
#[path = "support/place.rs"]
mod place;

use std::time::Duration;

use clawstore_core::ErrorCode;
use clawstore_lua::{CallControl, CallInfo, Fault, Options, Verdict};
use host::{Host, Kind, Store};
use place::{Place, on_each_place};

/// Every yielding method of data stores, and the text that each must raise.
const CALLS: &str = r#"
    local stores = DataStoreService
    local calls = { { stores, "ListDataStoresAsync" } }
    local function of(store, name, ...)
        table.insert(calls, { store, name, ... })
    end
    for _, store in { stores:GetDataStore("A"), stores:GetOrderedDataStore("A") } do
        of(store, "GetAsync", "k")
        of(store, "SetAsync", "k", 1)
        of(store, "UpdateAsync", "k", function() return 1 end)
        of(store, "IncrementAsync", "k")
        of(store, "RemoveAsync", "k")
    end
    local version = "08D9E6A3F2188CFF.0000000001.08D9E6A3F2188CFF.01"
    of(stores:GetDataStore("A"), "GetVersionAsync", "k", version)
    of(stores:GetDataStore("A"), "GetVersionAtTimeAsync", "k", 1)
    of(stores:GetDataStore("A"), "ListVersionsAsync", "k")
    of(stores:GetDataStore("A"), "ListKeysAsync")
    of(stores:GetDataStore("A"), "RemoveVersionAsync", "k", version)
    of(stores:GetOrderedDataStore("A"), "GetSortedAsync", true, 10)
    of(stores:GetOrderedDataStore("A"), "BatchGetAsync", { "k" })
    for _, call in calls do
        local before = #logged()
        raises(text, call[1][call[2]], call[1], unpack(call, 3))
        local line = string.sub(logged(), before + 1)
        local message = string.gsub(string.gsub(text, "^%d+: ", ""), "%.$", "")
        assert(string.find(line, `DataStoreService: {name}: {message}. API: {call[2]}`, 1, true), line)
    end
    refused = #calls
"#;

fn check(host: &Host, name: &str, text: &str) {
    host.lua.globals().set("text", text).unwrap();
    host.lua.globals().set("name", name).unwrap();
    host.start("calls", CALLS);
    host.run();
    assert_eq!(host.number("refused"), 18.0);
}

fn a_closed_game_is_inaccessible(place: &Place) {
    for (number, kind) in [(1, Kind::Polling), (2, Kind::Scheduler)] {
        let store = Store::on(place);
        let host = Host::new(&store.game(number), kind);
        // What is owned and at hand is refused as well.
        host.start("before", "store('A'):SetAsync('k', 1) assert(store('A'):GetAsync('k') == 1)");
        host.run();
        store.drain();
        let text = "401: DataModel is inaccessible when the game is shutting down. (not applied)";
        check(&host, "DataModelNoAccess", text);
    }
}

on_each_place! {
    closed: a_closed_game_is_inaccessible;
}

/// What `--no-api-access` does.
struct NoAccess;

const NO_ACCESS: &str = "Cannot write to DataStore from studio if API access is not enabled.";

impl CallControl for NoAccess {
    fn begin(&self, _: &CallInfo<'_>) -> Verdict {
        let error = ErrorCode::StudioAccessToApisNotAllowed.error(NO_ACCESS);
        Verdict { fault: Some(Fault::Refuse(error)), ..Verdict::default() }
    }

    fn deliver(&self, _: &str) -> Option<Duration> {
        None
    }

    fn settles_calls(&self) -> bool {
        false
    }

    fn wait(&self) {}
}

#[test]
fn without_access_nothing_is_done() {
    for kind in [Kind::Polling, Kind::Scheduler] {
        let place = Place::memory();
        let store = Store::on(&place);
        let options = Options { control: Some(Box::new(NoAccess)), ..Options::default() };
        let host = Host::with_options(&store.game(1), kind, options);
        check(&host, "StudioAccessToApisNotAllowed", &format!("403: {NO_ACCESS}"));
        let look = Host::new(&store.game(1), kind);
        look.start("look", "assert(store('A'):GetAsync('k') == nil)");
        look.run();
    }
}
