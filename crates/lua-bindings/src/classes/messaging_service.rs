//! `MessagingService` (spec §7.2) and the connections that it gives.
//!
//! Owns: their members, and the table that a callback gets. Does not own: publishing and subscribing (`methods`), deliveries
//! (`vm/messages`).

use std::sync::atomic::{AtomicBool, Ordering};

use clawstore_core::clock::Timestamp;
use clawstore_core::messaging::{Payload, Topic};
use mlua::{Function, Lua, Table, UserDataFields, UserDataRegistry, Value as LuaValue};

use super::{add_method, instance_members, no_other_members};
use crate::convert::decode;
use crate::methods::{Method, Methods, no_results, publish_async, subscribe_async};
use crate::shared::Shared;
use crate::vm::Vm;

const SERVICE: &str = "MessagingService";

/// The service of one VM.
#[derive(Debug)]
pub(crate) struct MessagingService;

/// Its yielding methods.
pub(crate) const METHODS: &[Method] = &[
    Method { service: SERVICE, name: "PublishAsync", start: publish_async::start, finish: no_results },
    Method { service: SERVICE, name: "SubscribeAsync", start: subscribe_async::start, finish: no_results },
];

pub(crate) fn register(
    lua: &Lua,
    registry: &mut UserDataRegistry<MessagingService>,
    methods: Methods,
) -> mlua::Result<()> {
    instance_members(lua, registry, SERVICE, &[])?;
    for (name, function) in methods {
        registry.add_field(name, function);
    }
    Ok(())
}

/// One subscription of a script. It lives until it is disconnected, whether or not the script keeps it.
#[derive(Debug)]
pub(crate) struct Connection {
    vm: Shared<Vm>,
    topic: Topic,
    callback: Function,
    is_connected: AtomicBool,
}

impl Connection {
    /// Of a subscription that the server has.
    pub(crate) fn new(vm: &Shared<Vm>, topic: Topic, callback: Function) -> Self {
        Self { vm: Shared::clone(vm), topic, callback, is_connected: AtomicBool::new(true) }
    }

    pub(crate) fn callback(&self) -> &Function {
        &self.callback
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }

    /// Ends it, once.
    fn disconnect(&self) {
        if self.is_connected.swap(false, Ordering::Relaxed) {
            self.vm.server.unsubscribe(&self.topic);
            self.vm.messages.forget_disconnected(&self.topic);
        }
    }
}

pub(crate) fn register_connection(lua: &Lua, registry: &mut UserDataRegistry<Connection>) -> mlua::Result<()> {
    registry.add_meta_field("__type", "RBXScriptConnection");
    no_other_members(lua, registry, "RBXScriptConnection".to_owned())?;
    for name in ["Connected", "connected"] {
        registry.add_field_method_get(name, |_, this| Ok(this.is_connected()));
    }
    for name in ["Disconnect", "disconnect"] {
        add_method(lua, registry, name, |_, this, ()| {
            this.disconnect();
            Ok(Ok(LuaValue::Nil))
        })?;
    }
    Ok(())
}

/// What a callback gets: `{Data, Sent}`, with the time in seconds since 1970.
pub(crate) fn message(lua: &Lua, payload: &Payload, sent: Timestamp) -> mlua::Result<Table> {
    const TICKS_PER_SECOND: f64 = 1e7;
    let message = lua.create_table()?;
    message.raw_set("Data", decode(lua, payload.json())?)?;
    #[expect(clippy::cast_precision_loss, reason = "to the microsecond until the year 2255")]
    message.raw_set("Sent", sent.ticks() as f64 / TICKS_PER_SECOND)?;
    Ok(message)
}
