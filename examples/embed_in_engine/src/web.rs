//! What a web handler does: the same stores as those of the scripts, from Rust, with types.
//!
//! Owns: the shape of what `games/coins.luau` stores. Does not own: HTTP.

use clawstore::{Game, StoreError};
use serde::{Deserialize, Serialize};

/// A player's data.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// What they have.
    pub coins: f64,
    /// How often they were here.
    pub visits: u32,
}

/// A line of the leaderboard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Whose.
    pub name: String,
    /// How much.
    pub coins: f64,
}

/// `GET /games/{id}/leaderboard`
pub async fn leaderboard(game: &Game) -> Result<Vec<Score>, StoreError> {
    let top = game.data_store("Leaderboard")?.get::<Vec<Score>>("top").await?;
    Ok(top.map(|stored| stored.value).unwrap_or_default())
}

/// `POST /games/{id}/players/{user_id}/coins`: an update like any other, so it meets no save of the game halfway.
pub async fn give_coins(game: &Game, user_id: i64, coins: f64) -> Result<Profile, StoreError> {
    let give = |profile: Option<Profile>| {
        let profile = profile.unwrap_or_default();
        Some(Profile { coins: profile.coins + coins, ..profile })
    };
    let stored = game.data_store("Coins")?.update(&format!("player_{user_id}"), give).await?;
    Ok(stored.map(|stored| stored.value).unwrap_or_default())
}
