//! Every Luau spec, in both kinds of host, on every backend.
#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

#[path = "support/host.rs"]
mod host;
#[path = "support/place.rs"]
mod place;

use host::{Host, Kind, Store};
use place::{Place, on_each_place};

fn run(place: &Place, name: &str, source: &str) {
    for (number, kind) in [(1, Kind::Polling), (2, Kind::Scheduler)] {
        let store = Store::on(place);
        // Each in a game of its own: it finds nothing.
        let host = Host::new(&store.game(number), kind);
        host.start(name, source);
        host.run();
        store.drain();
    }
}

macro_rules! specs {
    ($($name:ident)*) => {
        on_each_place! {$(
            $name: |place| run(place, stringify!($name), include_str!(concat!("luau/", stringify!($name), ".luau")));
        )*}
    };
}

specs! {
    data_store_service get_async set_async update_async increment_async remove_async values get_version_async
    list_versions_async ordered_data_store get_sorted_async messaging_service members list_keys_async list_data_stores_async
    get_version_at_time_async remove_version_async batch_get_async on_update limits
}
