//! Messages to one VM: who is subscribed, and the threads that run callbacks.
//!
//! Owns: the connections of the VM by topic, making a thread for each delivery, what a simulated run does to messages. Does not
//! own: the way of messages (`actors`), the members of a connection (`classes/messaging_service`).

use std::collections::HashMap;
use std::time::Duration;

use clawstore_core::clock::Timestamp;
use clawstore_core::messaging::{Payload, Topic};
use foldhash::fast::FixedState;
use mlua::{AnyUserData, Function, IntoLua, Lua, Thread};

use super::Vm;
use super::timing::after;
use crate::classes::connection::Connection;
use crate::classes::messaging_service::message;
use crate::shared::{State, borrow};

/// The subscriptions of one VM.
#[derive(Debug)]
pub(crate) struct Messages {
    /// In order of subscribing.
    connections: State<HashMap<Topic, Vec<AnyUserData>, FixedState>>,
    /// When the last message starts its callbacks: none overtakes it.
    last: State<Timestamp>,
    /// Makes the function that a delivery runs.
    deliver: Function,
}

impl Messages {
    pub(crate) fn new(lua: &Lua) -> mlua::Result<Self> {
        let deliver = lua.load(include_str!("deliver.luau")).set_name("=MessagingService").eval()?;
        Ok(Self { connections: State::default(), last: State::default(), deliver })
    }

    /// Messages of the topic go to this connection too.
    pub(crate) fn connect(&self, topic: &Topic, connection: AnyUserData) {
        borrow(&self.connections).entry(topic.clone()).or_default().push(connection);
    }

    /// Lets go of the connections of a topic that are not connected any more.
    pub(crate) fn forget_disconnected(&self, topic: &Topic) {
        let mut connections = borrow(&self.connections);
        if let Some(of_topic) = connections.get_mut(topic) {
            of_topic.retain(|connection| connection.borrow::<Connection>().is_ok_and(|it| it.is_connected()));
            if of_topic.is_empty() {
                connections.remove(topic);
            }
        }
    }

    /// Connections that messages may still come to.
    pub(crate) fn listeners(&self) -> usize {
        borrow(&self.connections).values().map(Vec::len).sum()
    }

    fn of(&self, topic: &Topic) -> Vec<AnyUserData> {
        borrow(&self.connections).get(topic).cloned().unwrap_or_default()
    }

    /// A thread that runs a callback.
    pub(super) fn callback_thread(&self, lua: &Lua, to: &AnyUserData, with: impl IntoLua) -> mlua::Result<Thread> {
        let callback = to.borrow::<Connection>()?.callback().clone();
        lua.create_thread(self.deliver.call((to, callback, with))?)
    }
}

impl Vm {
    /// Makes a thread for each connection; they start together, in order, after those of earlier messages.
    pub(super) fn deliver(&self, lua: &Lua, topic: &Topic, payload: &Payload, sent: Timestamp) {
        let connections = self.messages.of(topic);
        if connections.is_empty() {
            return;
        }
        let time = match &self.options.control {
            None => Duration::ZERO,
            Some(control) => match control.deliver(topic) {
                Some(time) => time,
                None => return,
            },
        };
        let at = {
            let mut last = borrow(&self.messages.last);
            *last = after(self.clock(), time).max(*last);
            *last
        };
        for connection in connections {
            let thread = message(lua, payload, sent);
            match thread.and_then(|message| self.messages.callback_thread(lua, &connection, message)) {
                Ok(thread) => self.start_at(thread, at),
                // JSON that no version of ours has sent, or no memory.
                Err(error) => self.log(&format!("MessagingService: a message of {topic} was not delivered: {error}")),
            }
        }
    }
}
