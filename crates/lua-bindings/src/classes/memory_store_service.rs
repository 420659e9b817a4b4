//! `MemoryStoreService` (spec §7.1): opens memory stores.
//!
//! Owns: its members and the cache that gives the same object for the same name. Does not own: what a store does.

use std::collections::HashMap;
use std::sync::Arc;

use clawstore_core::CallError;
use clawstore_core::limits::MEMORY_INVISIBLE_SECONDS;
use clawstore_core::memory_store::{HashMapCall, MemoryCall, QueueCall, SortedMapCall};
use mlua::{AnyUserData, Lua, UserDataRegistry, Value as LuaValue};

use super::memory_store_hash_map::MemoryStoreHashMap;
use super::memory_store_queue::MemoryStoreQueue;
use super::memory_store_sorted_map::MemoryStoreSortedMap;
use super::{add_method, instance_members};
use crate::arguments;
use crate::methods::memory_store;
use crate::shared::{State, borrow};

/// The service of one VM.
#[derive(Debug, Default)]
pub(crate) struct MemoryStoreService {
    opened: State<HashMap<Opened, AnyUserData>>,
}

/// What makes one object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Opened {
    SortedMap(Arc<str>),
    HashMap(Arc<str>),
    /// With its invisibility timeout: objects of one queue that hide for different times are different ones.
    Queue(Arc<str>, i64),
}

impl Opened {
    /// The checks of the name and the timeout are those of any call.
    fn validate(&self) -> Result<(), CallError> {
        let call = match self.clone() {
            Self::SortedMap(name) => MemoryCall::SortedMap(name, SortedMapCall::Size),
            Self::HashMap(name) => MemoryCall::HashMap(name, HashMapCall::List { after: None, count: 1 }),
            Self::Queue(name, invisible_for) => {
                MemoryCall::Queue(name, QueueCall::Read { count: 1, all_or_nothing: false, invisible_for })
            }
        };
        call.validate().map_err(CallError::from)
    }

    fn create(&self, lua: &Lua) -> mlua::Result<AnyUserData> {
        match self.clone() {
            Self::SortedMap(name) => lua.create_any_userdata(MemoryStoreSortedMap { name }),
            Self::HashMap(name) => lua.create_any_userdata(MemoryStoreHashMap { name }),
            Self::Queue(name, invisible_for) => lua.create_any_userdata(MemoryStoreQueue { name, invisible_for }),
        }
    }
}

fn open(lua: &Lua, service: &MemoryStoreService, opened: Opened) -> mlua::Result<Result<AnyUserData, CallError>> {
    if let Err(error) = opened.validate() {
        return Ok(Err(error));
    }
    let known = borrow(&service.opened).get(&opened).cloned();
    if let Some(known) = known {
        return Ok(Ok(known));
    }
    let object = opened.create(lua)?;
    borrow(&service.opened).insert(opened, object.clone());
    Ok(Ok(object))
}

pub(crate) fn register(lua: &Lua, registry: &mut UserDataRegistry<MemoryStoreService>) -> mlua::Result<()> {
    instance_members(lua, registry, "MemoryStoreService", &[])?;
    for (method, opened) in [
        ("GetSortedMap", Opened::SortedMap as fn(Arc<str>) -> Opened),
        ("GetHashMap", Opened::HashMap as fn(Arc<str>) -> Opened),
    ] {
        add_method(lua, registry, method, move |lua, this, name: LuaValue| {
            match memory_store::text(&name, 1, "name") {
                Ok(name) => open(lua, this, opened(name)),
                Err(error) => Ok(Err(error)),
            }
        })?;
    }
    add_method(lua, registry, "GetQueue", |lua, this, (name, timeout): (LuaValue, LuaValue)| {
        let queue = memory_store::text(&name, 1, "name")
            .and_then(|name| Ok(Opened::Queue(name, arguments::integer(&timeout, MEMORY_INVISIBLE_SECONDS, 2)?)));
        match queue {
            Ok(queue) => open(lua, this, queue),
            Err(error) => Ok(Err(error)),
        }
    })
}
