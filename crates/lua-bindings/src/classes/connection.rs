//! `RBXScriptConnection`: what ends a callback, for messages and for `OnUpdate`.
//!
//! Owns: its members. Does not own: what is listened to (`vm/messages`, `vm/updates`).

use std::sync::atomic::{AtomicBool, Ordering};

use clawstore_core::EntryKey;
use clawstore_core::messaging::Topic;
use mlua::{Function, Lua, UserDataRegistry, Value as LuaValue};

use super::{add_method, no_other_members};
use crate::shared::Shared;
use crate::vm::Vm;

/// What a callback is told of.
#[derive(Debug)]
pub(crate) enum Source {
    /// Messages.
    Topic(Topic),
    /// New values.
    Key(EntryKey),
}

/// One callback of a script. It lives until it is disconnected, whether or not the script keeps it.
#[derive(Debug)]
pub(crate) struct Connection {
    vm: Shared<Vm>,
    source: Source,
    callback: Function,
    is_connected: AtomicBool,
}

impl Connection {
    /// Of a source that is listened to.
    pub(crate) fn new(vm: &Shared<Vm>, source: Source, callback: Function) -> Self {
        Self { vm: Shared::clone(vm), source, callback, is_connected: AtomicBool::new(true) }
    }

    pub(crate) fn callback(&self) -> &Function {
        &self.callback
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }

    /// Ends it, once.
    fn disconnect(&self) {
        if !self.is_connected.swap(false, Ordering::Relaxed) {
            return;
        }
        match &self.source {
            Source::Topic(topic) => {
                self.vm.server.unsubscribe(topic);
                self.vm.messages.forget_disconnected(topic);
            }
            Source::Key(key) => self.vm.updates.forget_disconnected(key),
        }
    }
}

pub(crate) fn register(lua: &Lua, registry: &mut UserDataRegistry<Connection>) -> mlua::Result<()> {
    use mlua::UserDataFields;
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
