//! One per VM: Roblox's "server".
//!
//! Owns: the VM's number, its inbox, the numbers of its calls, its identity. Does not own: the VM, Luau values, which
//! calls are unanswered (`core::vm_queue`, kept by the bindings), messages (`messaging`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use clawstore_core::clock::{Moment, Timestamp};
use clawstore_core::entry::VersionId;
use clawstore_core::key_machine::{Head, Input, Rerun, VmId, Writer};
use clawstore_core::memory_store::MemoryCall;
use clawstore_core::ops::{CallResult, Look, Reply, Request};
use clawstore_core::{CallError, EntryKey, GameId};

use crate::admission::Ceiling;
use crate::call_port::ReplyTo;
use crate::game::Game;
use crate::inbox::{Inbox, VmEvent};
use crate::memory_store::ToInbox;

/// What scripts see of their server.
#[derive(Debug, Clone, Default)]
pub struct ServerIdentity {
    /// `game.JobId`.
    pub job_id: String,
    /// `game.PlaceId`.
    pub place_id: u64,
    /// `Players.MaxPlayers`.
    pub max_players: u32,
    /// Players on it now: the host counts them. Limits are made of it.
    pub players: Arc<AtomicU32>,
}

/// The answer to a read: there, or to come.
#[derive(Debug)]
pub enum Found {
    /// At once.
    Now(CallResult),
    /// In the inbox, under this number.
    Later(u64),
}

/// One VM's access to its game.
#[derive(Debug)]
pub struct Server {
    game: Arc<Game>,
    vm: VmId,
    inbox: Arc<Inbox>,
    identity: ServerIdentity,
    next_op: AtomicU64,
}

impl Server {
    pub(crate) fn new(game: Arc<Game>, vm: VmId, identity: ServerIdentity) -> Self {
        game.hub.join(vm);
        game.player_counts.join(&identity.players);
        Self { game, vm, inbox: Arc::default(), identity, next_op: AtomicU64::new(1) }
    }

    /// What scripts see.
    pub fn identity(&self) -> &ServerIdentity {
        &self.identity
    }

    /// The game whose data it sees.
    pub fn game_id(&self) -> GameId {
        self.game.id
    }

    /// The game whose data it sees.
    pub fn game(&self) -> &Arc<Game> {
        &self.game
    }

    /// Where answers arrive.
    pub fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }

    pub(crate) fn vm(&self) -> VmId {
        self.vm
    }

    /// Wall time by the game's clock: the time that a call made now carries.
    pub fn wall(&self) -> Timestamp {
        self.game.clock.wall()
    }

    /// Time since the start of the process: nobody sets it back.
    pub fn now(&self) -> Moment {
        self.game.clock.now()
    }

    /// What rates and waits go by ([`Clock::steady`](clawstore_core::clock::Clock::steady)).
    pub fn steady(&self) -> Timestamp {
        self.game.clock.steady()
    }

    /// Does the game take calls? It does not while it is closing, and while its data is deleted.
    pub fn takes_calls(&self) -> bool {
        !self.game.is_closed() && !self.game.is_deleted()
    }

    /// The number of the VM's next call.
    pub fn next_writer(&self) -> Writer {
        Writer { vm: self.vm, op: self.next_op.fetch_add(1, Ordering::Relaxed) }
    }

    /// A value that `GetAsync` may show at once: of a key that is owned here, or was read less than 4 s ago.
    pub fn read_at_hand(&self, key: &EntryKey, use_cache: bool) -> Option<CallResult> {
        self.game.read_at_hand(key, use_cache).map(|entry| Ok(Reply::Entry(entry)))
    }

    /// `GetAsync`. The answer, if it is there; else it arrives in the inbox. Never blocks.
    pub fn read(&self, key: &EntryKey, writer: Writer, use_cache: bool) -> Option<CallResult> {
        self.game.read(key, writer, use_cache, || ReplyTo::Vm(Arc::clone(&self.inbox), writer.op))
    }

    /// Looks at versions or lists; the answer arrives in the inbox, a refusal too. Never blocks.
    pub fn look(&self, writer: Writer, look: Look) {
        self.game.start_look(look, ReplyTo::Vm(Arc::clone(&self.inbox), writer.op));
    }

    /// Submits a write; its end arrives in the inbox, a refusal too. Never blocks.
    pub fn write(&self, key: &EntryKey, writer: Writer, at: Timestamp, request: Request) {
        self.game.submit(key, writer, at, request, ReplyTo::Vm(Arc::clone(&self.inbox), writer.op));
    }

    /// `RemoveVersionAsync`; its end arrives in the inbox, a refusal too. Never blocks.
    pub fn remove_version(&self, key: &EntryKey, writer: Writer, at: Timestamp, id: VersionId) {
        self.game.start_remove_version(
            Ceiling::Holds,
            key,
            writer,
            at,
            id,
            ReplyTo::Vm(Arc::clone(&self.inbox), writer.op),
        );
    }

    /// Submits a write that a VM has accepted and that has waited until the VM goes. Memory permits are taken for it also
    /// beyond their ceilings; nobody waits for its end. Never blocks.
    pub fn write_at_end(&self, key: &EntryKey, writer: Writer, request: Request) {
        let (at, reply) = (self.wall(), ReplyTo::Vm(Arc::clone(&self.inbox), writer.op));
        match request {
            Request::RemoveVersion(id) => {
                self.game.start_remove_version(Ceiling::Passed, key, writer, at, id, reply);
            }
            request => self.game.submit_within(Ceiling::Passed, key, writer, at, request, reply),
        }
    }

    /// Makes a call on a memory store; its end arrives in the inbox under the number that is returned, never at once, so that a
    /// script that calls in a loop lets others run. Never blocks.
    pub fn memory_call(&self, call: MemoryCall) -> u64 {
        let op = self.next_writer().op;
        if self.game.is_closed() {
            self.inbox.push(VmEvent::Done { op, result: Err(CallError::closing()) });
        } else {
            self.game.memory_call(call, ToInbox::answer(Arc::clone(&self.inbox), op));
        }
        op
    }

    /// The same, but an answer that is there at once is returned.
    pub fn memory_read(&self, call: MemoryCall) -> Found {
        let op = self.next_writer().op;
        if self.game.is_closed() {
            return Found::Now(Err(CallError::closing()));
        }
        let (answer, direct) = ToInbox::direct(Arc::clone(&self.inbox), op);
        self.game.memory_call(call, answer);
        direct.take().map_or(Found::Later(op), Found::Now)
    }

    /// The newest accepted revision of a key that is active here, for a transform to run on.
    pub fn published_head(&self, key: &EntryKey) -> Option<Head> {
        self.game.published_head(key)
    }

    /// New results for the VM's held updates on a key: the answer to the ask of that number.
    pub fn rerun(&self, key: &EntryKey, ask: u64, reruns: Vec<Rerun>) {
        self.game.tell(key, Input::Rerun(self.vm, ask, reruns));
    }

    /// The VM will run nothing any more: what waits for it on these keys ends, accepted writes go on, no message arrives.
    pub fn close<'a>(&self, keys: impl IntoIterator<Item = &'a EntryKey>) {
        self.inbox.close();
        self.game.hub.leave(self.vm);
        for key in keys {
            self.game.tell(key, Input::VmGone(self.vm));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.inbox.close();
        self.game.hub.leave(self.vm);
    }
}
