//! How many messages Roblox lets through in a minute (spec §7.2).
//!
//! Owns: the numbers with what they grow with. Does not own: counting (`window`), whether they hold (`Limits`), nor what
//! becomes of what is refused.

/// Roblox's numbers for a game of this size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageRates {
    /// Players on the server that asks.
    pub players: u32,
    /// Servers of the game.
    pub servers: u32,
}

impl MessageRates {
    /// Requests to subscribe, per server and minute.
    pub const SUBSCRIBES: u32 = 240;

    /// Messages that the server may publish in a minute.
    pub const fn published(self) -> u32 {
        240_u32.saturating_mul(self.players).saturating_add(600)
    }

    /// Messages of one topic that all servers may receive in a minute.
    pub const fn received_per_topic(self) -> u32 {
        80_u32.saturating_mul(self.servers).saturating_add(40)
    }

    /// Messages of all topics that all servers may receive in a minute.
    pub const fn received_per_game(self) -> u32 {
        200_u32.saturating_mul(self.servers).saturating_add(400)
    }

    /// Subscriptions that the server may hold at once.
    pub const fn subscriptions(self) -> u32 {
        8_u32.saturating_mul(self.players).saturating_add(20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_grow_with_players_and_servers() {
        // Spec §7.2.
        let rates = MessageRates { players: 10, servers: 3 };
        assert_eq!((rates.published(), rates.subscriptions()), (3_000, 100));
        assert_eq!((rates.received_per_topic(), rates.received_per_game()), (280, 1_000));
        let huge = MessageRates { players: u32::MAX, servers: u32::MAX };
        assert_eq!((huge.published(), huge.received_per_game()), (u32::MAX, u32::MAX));
    }
}
