//! Messages between the servers of a game (spec §7.2).
//!
//! Owns: who is subscribed to what in this process, handing a message to them at once and in order, Roblox's rates where they
//! hold. Does not own: the way to other processes (`carrier`), what a message may be (`core::messaging`), callbacks (the
//! bindings have them).
//!
//! Best effort: whoever cannot take a message loses it, and nobody waits.

pub(crate) mod carrier;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use clawstore_core::clock::Timestamp;
use clawstore_core::key_machine::VmId;
use clawstore_core::limits::Limits;
use clawstore_core::messaging::{Carried, Message, MessageRates, Payload, Topic};
use clawstore_core::ops::Reply;
use clawstore_core::window::Window;
use clawstore_core::{CallError, GameId};
use foldhash::fast::FixedState;
use metrics::counter;
use parking_lot::Mutex;

use crate::inbox::{Inbox, VmEvent};
use crate::messaging::carrier::{Carrier, PublishPort};
use crate::metric_definitions::{MESSAGES_DELIVERED_TOTAL, MESSAGES_LOST_TOTAL, MESSAGES_PUBLISHED_TOTAL};
use crate::server::Server;

/// The messages of one game.
#[derive(Debug)]
pub(crate) struct Hub {
    game: GameId,
    limits: Limits,
    carrier: Option<Arc<Carrier>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    servers: HashMap<VmId, ServerState, FixedState>,
    topics: HashMap<Topic, TopicState, FixedState>,
    received: Window,
}

/// What Roblox counts of one server.
#[derive(Debug, Default)]
struct ServerState {
    published: Window,
    subscribes: Window,
    subscriptions: u32,
}

#[derive(Debug, Default)]
struct TopicState {
    /// In the order of numbers, so that a simulated run is the same each time.
    subscribers: BTreeMap<VmId, Subscriber>,
    received: Window,
}

#[derive(Debug)]
struct Subscriber {
    inbox: Arc<Inbox>,
    /// Subscriptions of this server: it gets a message once.
    count: u32,
}

impl Hub {
    pub(crate) fn open(game: GameId, limits: Limits, carrier: Option<Arc<Carrier>>) -> Arc<Self> {
        let hub = Arc::new(Self { game, limits, carrier, state: Mutex::default() });
        if let Some(carrier) = &hub.carrier {
            carrier.register(game, &hub);
        }
        hub
    }

    pub(crate) fn join(&self, vm: VmId) {
        self.state.lock().servers.insert(vm, ServerState::default());
    }

    /// Servers that are open in this process.
    pub(crate) fn servers(&self) -> usize {
        self.state.lock().servers.len()
    }

    /// A server is gone, with its subscriptions.
    pub(crate) fn leave(&self, vm: VmId) {
        let mut state = self.state.lock();
        if state.servers.remove(&vm).is_some_and(|server| server.subscriptions > 0) {
            state.topics.retain(|_, topic| {
                topic.subscribers.remove(&vm);
                !topic.subscribers.is_empty()
            });
        }
    }

    fn may_publish(&self, vm: VmId, players: u32, now: Timestamp) -> Result<(), CallError> {
        let mut state = self.state.lock();
        let rates = state.rates(players);
        let Some(server) = state.servers.get_mut(&vm) else { return Err(CallError::abandoned()) };
        if self.limits.are_fixed() && !server.published.admit(now, rates.published()) {
            return Err(CallError::unavailable("The server publishes too many messages."));
        }
        Ok(())
    }

    /// Hands a message to those who are subscribed in this process.
    pub(crate) fn deliver(&self, message: &Message, now: Timestamp) {
        // Not under the lock: an arrival runs the host's wake-up.
        for inbox in self.receivers(&message.topic, now) {
            let Message { topic, payload, sent } = message.clone();
            let is_taken = inbox.push_if_read(VmEvent::Message { topic, payload, sent });
            match is_taken {
                true => counter!(MESSAGES_DELIVERED_TOTAL).increment(1),
                false => counter!(MESSAGES_LOST_TOTAL, "reason" => "inbox").increment(1),
            }
        }
    }

    fn receivers(&self, topic: &Topic, now: Timestamp) -> Vec<Arc<Inbox>> {
        let state = &mut *self.state.lock();
        let rates = state.rates(0);
        let Some(topic) = state.topics.get_mut(topic) else { return Vec::new() };
        let mut inboxes: Vec<_> = topic.subscribers.values().map(|subscriber| Arc::clone(&subscriber.inbox)).collect();
        if self.limits.are_fixed() {
            let all = inboxes.len();
            inboxes.retain(|_| {
                let has_room = topic.received.has_room(now, rates.received_per_topic())
                    && state.received.has_room(now, rates.received_per_game());
                if has_room {
                    topic.received.count(now, 1);
                    state.received.count(now, 1);
                }
                has_room
            });
            counter!(MESSAGES_LOST_TOTAL, "reason" => "rate").increment((all - inboxes.len()) as u64);
        }
        inboxes
    }

    fn subscribe(
        &self,
        vm: VmId,
        inbox: &Arc<Inbox>,
        topic: &Topic,
        players: u32,
        now: Timestamp,
    ) -> Result<(), CallError> {
        let mut state = self.state.lock();
        let rates = state.rates(players);
        let Some(server) = state.servers.get_mut(&vm) else { return Err(CallError::abandoned()) };
        if self.limits.are_fixed() {
            if !server.subscribes.admit(now, MessageRates::SUBSCRIBES) {
                return Err(CallError::unavailable("The server subscribes too often."));
            }
            if server.subscriptions >= rates.subscriptions() {
                return Err(CallError::unavailable("The server has too many subscriptions."));
            }
        }
        server.subscriptions += 1;
        let topic = state.topics.entry(topic.clone()).or_default();
        let fresh = || Subscriber { inbox: Arc::clone(inbox), count: 0 };
        topic.subscribers.entry(vm).or_insert_with(fresh).count += 1;
        Ok(())
    }

    fn unsubscribe(&self, vm: VmId, topic: &Topic) {
        let State { servers, topics, .. } = &mut *self.state.lock();
        let Some(state) = topics.get_mut(topic) else { return };
        let Some(subscriber) = state.subscribers.get_mut(&vm) else { return };
        subscriber.count -= 1;
        if subscriber.count == 0 {
            state.subscribers.remove(&vm);
        }
        if state.subscribers.is_empty() {
            topics.remove(topic);
        }
        if let Some(server) = servers.get_mut(&vm) {
            server.subscriptions -= 1;
        }
    }
}

impl State {
    fn rates(&self, players: u32) -> MessageRates {
        MessageRates { players, servers: u32::try_from(self.servers.len()).unwrap_or(u32::MAX) }
    }
}

impl Server {
    /// `PublishAsync`: every subscriber in this process has the message in its inbox when this returns, the server itself
    /// too. The answer comes into the inbox under the number that is returned: at once, or once the message is on its way to
    /// other processes. Never blocks.
    pub fn publish(&self, topic: Topic, payload: Payload) -> u64 {
        let (op, sent) = (self.next_writer().op, self.wall());
        if let Err(error) = self.check_open().and_then(|()| self.hub().may_publish(self.vm(), self.players(), sent)) {
            self.answer(op, Err(error));
            return op;
        }
        counter!(MESSAGES_PUBLISHED_TOTAL).increment(1);
        let message = Message { topic, payload, sent };
        self.hub().deliver(&message, sent);
        match &self.hub().carrier {
            None => self.answer(op, Ok(Reply::Nothing)),
            Some(carrier) => {
                let port = PublishPort::new(Arc::clone(self.inbox()), op, Arc::clone(&self.game().counters));
                carrier.carry(Carried { game: self.hub().game, message }, port);
            }
        }
        op
    }

    /// `SubscribeAsync`: messages of the topic arrive in the inbox from now on, each once however many subscriptions there
    /// are. The answer comes into the inbox under the number that is returned. A subscription ends by
    /// [`Server::unsubscribe`], or with the server.
    ///
    /// # Errors
    /// If the game is closing, or Roblox's rates hold and one is reached: there is no subscription then, and no answer.
    pub fn subscribe(&self, topic: &Topic) -> Result<u64, CallError> {
        self.check_open()?;
        self.hub().subscribe(self.vm(), self.inbox(), topic, self.players(), self.wall())?;
        let op = self.next_writer().op;
        self.answer(op, Ok(Reply::Nothing));
        Ok(op)
    }

    /// Ends one subscription.
    pub fn unsubscribe(&self, topic: &Topic) {
        self.hub().unsubscribe(self.vm(), topic);
    }

    fn hub(&self) -> &Hub {
        &self.game().hub
    }

    fn players(&self) -> u32 {
        self.identity().players.load(Ordering::Relaxed)
    }

    fn check_open(&self) -> Result<(), CallError> {
        if self.game().is_closed() { Err(CallError::closing()) } else { Ok(()) }
    }

    fn answer(&self, op: u64, result: Result<Reply, CallError>) {
        self.inbox().push(VmEvent::Done { op, result });
    }
}
