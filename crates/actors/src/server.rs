//! One per VM: Roblox's "server".
//!
//! Owns: the VM's number, its inbox, the numbers of its calls, its identity. Does not own: the VM, Luau values, which
//! calls are unanswered (`core::vm_queue`, kept by the bindings).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clawstore_core::clock::Timestamp;
use clawstore_core::key_machine::{Head, Input, Rerun, VmId, Writer};
use clawstore_core::ops::{CallResult, Reply, Request};
use clawstore_core::{EntryKey, GameId};

use crate::call_port::ReplyTo;
use crate::game::Game;
use crate::inbox::Inbox;

/// What scripts see of their server.
#[derive(Debug, Clone, Default)]
pub struct ServerIdentity {
    /// `game.JobId`.
    pub job_id: String,
    /// `game.PlaceId`.
    pub place_id: u64,
    /// `Players.MaxPlayers`.
    pub max_players: u32,
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

    /// Wall time by the game's clock: the time that a call made now carries.
    pub fn wall(&self) -> Timestamp {
        self.game.clock.wall()
    }

    /// The number of the VM's next call.
    pub fn next_writer(&self) -> Writer {
        Writer { vm: self.vm, op: self.next_op.fetch_add(1, Ordering::Relaxed) }
    }

    /// `GetAsync`. A value that is owned here, or was read less than 4 s ago, is found at once. Never blocks.
    pub fn read(&self, key: &EntryKey, use_cache: bool) -> Found {
        if let Some(entry) = self.game.read_at_hand(key, use_cache) {
            return Found::Now(Ok(Reply::Entry(entry)));
        }
        let writer = self.next_writer();
        match self.game.read(key, writer, use_cache, || ReplyTo::Vm(Arc::clone(&self.inbox), writer.op)) {
            Some(result) => Found::Now(result),
            None => Found::Later(writer.op),
        }
    }

    /// Submits a write; its end arrives in the inbox, a refusal too. Never blocks.
    pub fn write(&self, key: &EntryKey, writer: Writer, at: Timestamp, request: Request) {
        self.game.submit(key, writer, at, request, ReplyTo::Vm(Arc::clone(&self.inbox), writer.op));
    }

    /// The newest accepted revision of a key that is active here, for a transform to run on.
    pub fn published_head(&self, key: &EntryKey) -> Option<Head> {
        self.game.published_head(key)
    }

    /// New results for the VM's held updates on a key: the answer to the ask of that number.
    pub fn rerun(&self, key: &EntryKey, ask: u64, reruns: Vec<Rerun>) {
        self.game.tell(key, Input::Rerun(self.vm, ask, reruns));
    }

    /// The VM will run nothing any more: what waits for it on these keys ends, accepted writes go on.
    pub fn close<'a>(&self, keys: impl IntoIterator<Item = &'a EntryKey>) {
        self.inbox.close();
        for key in keys {
            self.game.tell(key, Input::VmGone(self.vm));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.inbox.close();
    }
}
