//! What the engine's web server does with the data: plain functions, from any thread.
//!
//! Owns: the leaderboard of `GET /games/{id}/leaderboard`. Does not own: HTTP.

use clawstore::compat::clawblox::{self, LeaderboardEntry};
use clawstore::{Game, StoreError};

/// `GET /games/{id}/leaderboard?store=…&limit=…`, with the endpoint's own defaults and bounds.
pub async fn leaderboard(
    game: &Game,
    store: Option<&str>,
    limit: Option<i32>,
) -> Result<Vec<LeaderboardEntry>, StoreError> {
    let limit = usize::try_from(limit.unwrap_or(10)).unwrap_or(0).clamp(1, 100);
    clawblox::leaderboard(game, store.unwrap_or("Leaderboard"), limit).await
}
