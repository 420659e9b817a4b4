//! A server: what one VM of an engine holds.
//!
//! Owns: binding the VM, counting its players (what limits are made of), closing without waiting. Does not own: the VM.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use clawstore_actors::ServerIdentity;
use clawstore_lua::{Bindings, Cache, Options};
use mlua::Lua;

/// What a server is opened with.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// `game.JobId`; random if it is not given.
    pub job_id: Option<String>,
    /// `game.PlaceId`.
    pub place_id: u64,
    /// `Players.MaxPlayers`.
    pub max_players: u32,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self { job_id: None, place_id: 0, max_players: 50 }
    }
}

/// Why a server closes (`Enum.CloseReason`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// Nothing is known.
    Unknown,
    /// Maintenance.
    Maintenance,
    /// The developer stopped it.
    DeveloperShutdown,
    /// The developer published an update.
    DeveloperUpdate,
    /// The last player has left.
    ServerEmpty,
    /// The server has no memory left.
    OutOfMemory,
}

/// One server of a game.
#[derive(Debug)]
pub struct Server {
    game: Arc<clawstore_actors::Game>,
    identity: ServerIdentity,
    cache: Cache,
}

impl Server {
    pub(crate) fn new(game: &Arc<clawstore_actors::Game>, identity: ServerIdentity, cache: Cache) -> Self {
        Self { game: Arc::clone(game), identity, cache }
    }

    /// `game.JobId`.
    pub fn job_id(&self) -> &str {
        &self.identity.job_id
    }

    /// Makes the data-store API in a VM, for a polling host. The host's `GetService` and `Instance.new` ask what comes
    /// back. Each VM gets one.
    ///
    /// # Errors
    /// If the VM has no memory.
    pub fn bind(&self, lua: &Lua) -> mlua::Result<Bindings> {
        self.bind_with(lua, self.options())
    }

    /// The options of [`Server::bind`], as the settings say: what those of [`Server::bind_with`] begin with.
    pub fn options(&self) -> Options {
        Options { cache: self.cache, ..Options::default() }
    }

    /// As [`Server::bind`], with options, which begin with [`Server::options`].
    ///
    /// # Errors
    /// If the VM has no memory.
    pub fn bind_with(&self, lua: &Lua, options: Options) -> mlua::Result<Bindings> {
        Bindings::new(lua, self.game.server(self.identity.clone()), options)
    }

    /// A player has joined. O(1).
    pub fn player_joined(&self, _user_id: i64) {
        self.identity.players.fetch_add(1, Ordering::Relaxed);
    }

    /// A player has left. O(1).
    pub fn player_left(&self, _user_id: i64) {
        let left = |players: u32| Some(players.saturating_sub(1));
        let _ = self.identity.players.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left);
    }

    /// Players on this server.
    pub fn players(&self) -> u32 {
        self.identity.players.load(Ordering::Relaxed)
    }

    /// The server closes. Never blocks: what was accepted goes on, and ends durable; transforms that did not run end as
    /// FAIL when the VM is dropped.
    pub fn close(self, reason: CloseReason) {
        tracing::debug!(target: "clawstore::servers", job_id = %self.identity.job_id, ?reason, "server closes");
    }
}
