//! `OrderedDataStore` (spec §3): a store of whole numbers, in a scope.
//!
//! Owns: its identity. Does not own: what its methods do (`methods`), what it accepts (`core::ordered`).

use std::sync::Arc;

use clawstore_core::StoreId;
use mlua::{Lua, UserDataRegistry};

use super::data_store::SERVICE;
use super::instance_members;
use crate::methods::{
    Method, Methods, batch_get_async, get_async, get_sorted_async, increment_async, no_results, remove_async,
    set_async, update_async,
};

/// One store object. The same name and scope give the same object (spec §1).
#[derive(Debug)]
pub(crate) struct OrderedDataStore(pub(crate) Arc<StoreId>);

/// Its yielding methods. None of them has a key info to show (spec §2.8), nor a version.
pub(crate) const METHODS: &[Method] = &[
    Method { service: SERVICE, name: "GetAsync", start: get_async::start, finish: get_async::finish_ordered },
    Method { service: SERVICE, name: "SetAsync", start: set_async::start, finish: no_results },
    Method { service: SERVICE, name: "UpdateAsync", start: update_async::start, finish: update_async::finish_ordered },
    Method {
        service: SERVICE,
        name: "IncrementAsync",
        start: increment_async::start,
        finish: get_async::finish_ordered,
    },
    Method { service: SERVICE, name: "RemoveAsync", start: remove_async::start, finish: get_async::finish_ordered },
    Method { service: SERVICE, name: "GetSortedAsync", start: get_sorted_async::start, finish: no_results },
    Method { service: SERVICE, name: "BatchGetAsync", start: batch_get_async::start, finish: no_results },
];

pub(crate) fn register(
    lua: &Lua,
    registry: &mut UserDataRegistry<OrderedDataStore>,
    methods: Methods,
) -> mlua::Result<()> {
    use mlua::UserDataFields;
    instance_members(lua, registry, "OrderedDataStore", &["GlobalDataStore"])?;
    for (name, function) in methods {
        registry.add_field(name, function);
    }
    Ok(())
}
