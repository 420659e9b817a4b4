//! `SubscribeAsync` (spec §7.2): returns a connection. Messages that arrive after that run the callback, each in a thread of its
//! own.

use clawstore_core::CallError;
use clawstore_core::messaging::Topic;
use mlua::{Function, Lua, Value as LuaValue};

use super::{Arguments, Told, one};
use crate::arguments;
use crate::classes::connection::{Connection, Source};
use crate::classes::messaging_service::MessagingService;
use crate::shared::Shared;
use crate::vm::{Started, Vm};

pub(crate) fn start(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    arguments.this::<MessagingService>()?;
    let topic = Topic::new(&arguments::string(arguments.at(1), 1)?)?;
    let callback = arguments::function(arguments.at(2), 2)?;
    let op = vm.server.subscribe(&topic)?;
    vm.open_plain(lua, op);
    let pending = Pending { vm: Shared::clone(vm), topic: Some(topic) };
    Ok(Started::With(op, Box::new(move |lua, _| pending.connect(lua, callback))))
}

/// A subscription whose script has not been told yet. Ends if it never is.
struct Pending {
    vm: Shared<Vm>,
    topic: Option<Topic>,
}

impl Pending {
    fn connect(mut self, lua: &Lua, callback: Function) -> mlua::Result<Told> {
        let Some(topic) = self.topic.take() else { return Ok(one(LuaValue::Nil)) };
        let connection = lua.create_any_userdata(Connection::new(&self.vm, Source::Topic(topic.clone()), callback))?;
        self.vm.messages.connect(&topic, connection.clone());
        Ok(one(LuaValue::UserData(connection)))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(topic) = self.topic.take() {
            self.vm.server.unsubscribe(&topic);
        }
    }
}
