//! What the driver does to the world: simulated players and shutdown. Owns nothing; the prelude keeps the state.

use mlua::Table;

use crate::options::CloseReason;
use crate::runtime::{PlayerInfo, Runtime};

impl Runtime {
    /// A player joins: makes the Player and fires `Players.PlayerAdded`. False if that user is in the game already.
    pub fn player_joined(&self, user_id: i64, name: &str) -> bool {
        let joined = self.executor.call(&self.host.player_joined, (user_id, name)).unwrap_or(false);
        self.executor.drain_deferred();
        joined
    }

    /// A player leaves: fires `Players.PlayerRemoving`, then removes the Player. False if no such user is in the game.
    pub fn player_left(&self, user_id: i64) -> bool {
        let left = self.executor.call(&self.host.player_left, user_id).unwrap_or(false);
        self.executor.drain_deferred();
        left
    }

    /// The players in the game, in the order they joined. A player whom a script has kicked is not among them.
    pub fn players(&self) -> Vec<PlayerInfo> {
        let list = self.executor.call::<Vec<Table>>(&self.host.players, ()).unwrap_or_default();
        let info = |player: &Table| {
            Ok::<_, mlua::Error>(PlayerInfo { user_id: player.get("userId")?, name: player.get("name")? })
        };
        list.iter().filter_map(|player| info(player).ok()).collect()
    }

    /// A player has bought a product: calls `MarketplaceService.ProcessReceipt` in a thread of its own. False if no script
    /// has set it. A purchase that is not granted is asked about again only if the driver does so.
    pub fn purchase(&self, user_id: i64, product_id: i64, purchase_id: &str) -> bool {
        let called = self.executor.call(&self.host.purchase, (user_id, product_id, purchase_id)).unwrap_or(false);
        self.executor.drain_deferred();
        called
    }

    /// Starts all `BindToClose` functions, each in a thread of its own. The driver keeps stepping until
    /// [`Runtime::closing_done`] or its own limit (Roblox: 30 s). A second call does nothing.
    pub fn begin_close(&self, reason: CloseReason) {
        self.executor.call::<()>(&self.host.begin_close, reason.name());
        self.executor.drain_deferred();
    }

    /// True when `begin_close` was called and every `BindToClose` function has returned or failed.
    /// `game.Close` fires when that is first seen.
    pub fn closing_done(&self) -> bool {
        let done = self.executor.call(&self.host.closing_done, ()).unwrap_or(true);
        self.executor.drain_deferred();
        done
    }

    /// Bytes that the VM holds.
    pub fn memory_used(&self) -> usize {
        self.executor.lua.used_memory()
    }
}
