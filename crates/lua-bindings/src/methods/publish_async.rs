//! `PublishAsync` (spec §7.2): returns nothing, once the message is on its way.

use clawstore_core::CallError;
use clawstore_core::messaging::{Payload, Topic};
use mlua::Lua;

use super::Arguments;
use crate::arguments;
use crate::classes::messaging_service::MessagingService;
use crate::convert::encode;
use crate::shared::Shared;
use crate::vm::{Started, Vm};

pub(crate) fn start(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    arguments.this::<MessagingService>()?;
    let topic = Topic::new(&arguments::string(arguments.at(1), 1)?)?;
    let message = arguments.at(2);
    if message.is_nil() {
        return Err(arguments::missing(2));
    }
    let refused = |refused| CallError::argument(format_args!("Message cannot be sent. {refused}"));
    let payload = Payload::new(encode(message).map_err(refused)?.value.bytes().clone())?;
    Ok(vm.open_plain(lua, vm.server.publish(topic, payload)))
}
