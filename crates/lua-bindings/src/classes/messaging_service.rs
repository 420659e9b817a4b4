//! `MessagingService` (spec §7.2).
//!
//! Owns: its members, and the table that a callback gets. Does not own: publishing and subscribing (`methods`), deliveries
//! (`vm/messages`).

use clawstore_core::clock::Timestamp;
use clawstore_core::messaging::Payload;
use mlua::{Lua, Table, UserDataFields, UserDataRegistry};

use super::instance_members;
use crate::convert::decode;
use crate::methods::{Method, Methods, no_results, publish_async, subscribe_async};

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

/// What a callback gets: `{Data, Sent}`, with the time in seconds since 1970.
pub(crate) fn message(lua: &Lua, payload: &Payload, sent: Timestamp) -> mlua::Result<Table> {
    const TICKS_PER_SECOND: f64 = 1e7;
    let message = lua.create_table()?;
    message.raw_set("Data", decode(lua, payload.json())?)?;
    #[expect(clippy::cast_precision_loss, reason = "to the microsecond until the year 2255")]
    message.raw_set("Sent", sent.ticks() as f64 / TICKS_PER_SECOND)?;
    Ok(message)
}
