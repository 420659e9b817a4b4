//! Whole games.
//!
//! Owns: the statements of snapshots, deletion and its way back. Does not own: the purge (`purge`), refusing the calls of a deleted
//! game (`actors`), asking people whether they mean it (`cli`), which rows a snapshot keeps (`commit_batch_v2` in `migrations/`).

use clawstore_core::GameId;
use clawstore_core::backend::{BackendError, BackendErrorKind, Deletion, Restoration, Snapshot};
use clawstore_core::clock::Timestamp;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Postgres, Transaction};

use crate::columns::{bound, ticks, unreadable};
use crate::link::Call;

/// From now on what is overwritten is kept.
pub(crate) struct TakeSnapshot {
    pub(crate) game: GameId,
    pub(crate) at: Timestamp,
    pub(crate) is_simulated: bool,
}

/// The inner error is of the call, not of the connection.
impl Call for TakeSnapshot {
    type Answer = Result<Snapshot, BackendError>;

    async fn run(&self, session: &mut PgConnection) -> Result<Self::Answer, sqlx::Error> {
        let game = self.game.to_string();
        let query = sqlx::query_file!("queries/take_snapshot.sql", &game, bound(self.at), self.is_simulated);
        let row = query.fetch_one(&mut *session).await?;
        if !row.is_right {
            return Ok(Err(wrong_clock("no snapshot was taken", "5 s")));
        }
        if let Some(at) = row.snapshot {
            return Ok(Ok(Snapshot { is_new: true, at: ticks(at)? }));
        }
        let row = sqlx::query_file!("queries/read_snapshot.sql", &game).fetch_one(session).await?;
        // A purge came between.
        let at = row.snapshot.map_or(Ok(self.at), ticks)?;
        Ok(Ok(Snapshot { is_new: false, at }))
    }
}

/// No retry helps before somebody sets a clock.
pub(crate) fn wrong_clock(what: &str, by: &str) -> BackendError {
    let text =
        format!("{what}: the clocks of this machine and of the database differ by more than {by}; set them right");
    BackendError::new(BackendErrorKind::Invalid, text)
}

/// Games that are marked.
pub(crate) struct ListDeletedGames;

impl Call for ListDeletedGames {
    type Answer = Vec<(GameId, Timestamp)>;

    async fn run(&self, session: &mut PgConnection) -> Result<Self::Answer, sqlx::Error> {
        let rows = sqlx::query_file!("queries/list_deleted_games.sql").fetch_all(session).await?;
        rows.iter().map(|row| Ok((row.game.parse().map_err(unreadable)?, ticks(row.deleted)?))).collect()
    }
}

/// Marks a game.
pub(crate) struct DeleteGame {
    pub(crate) game: GameId,
    pub(crate) at: Timestamp,
}

impl Call for DeleteGame {
    type Answer = Deletion;

    async fn run(&self, session: &mut PgConnection) -> Result<Deletion, sqlx::Error> {
        let mut transaction = session.begin().await?;
        let result = self.mark(&mut transaction).await;
        end(transaction, result).await
    }
}

impl DeleteGame {
    async fn mark(&self, session: &mut PgConnection) -> Result<Deletion, sqlx::Error> {
        let query = sqlx::query_file!("queries/lock_game.sql", &self.game.to_string());
        let Some(game) = query.fetch_optional(&mut *session).await? else { return Ok(Deletion::Unknown) };
        if let Some(at) = game.deleted {
            return Ok(Deletion::Already(ticks(at)?));
        }
        let found = sqlx::query_file!("queries/find_game_use.sql", game.id).fetch_one(&mut *session).await?;
        if !found.is_written {
            return Ok(Deletion::Unknown);
        }
        if let Some(owner) = found.owner {
            return Ok(Deletion::InUse(owner));
        }
        sqlx::query_file!("queries/mark_game.sql", game.id, bound(self.at)).execute(session).await?;
        Ok(Deletion::Done)
    }
}

/// Ends a transaction before its session goes back: a dropped one would hold its locks until the next call.
pub(crate) async fn end<T>(
    transaction: Transaction<'_, Postgres>,
    result: Result<T, sqlx::Error>,
) -> Result<T, sqlx::Error> {
    match result {
        Ok(answer) => transaction.commit().await.map(|()| answer),
        Err(error) => transaction.rollback().await.and(Err(error)),
    }
}

/// Takes a mark away.
pub(crate) struct RestoreGame(pub(crate) GameId);

impl Call for RestoreGame {
    type Answer = Restoration;

    async fn run(&self, session: &mut PgConnection) -> Result<Restoration, sqlx::Error> {
        let query = sqlx::query_file!("queries/restore_game.sql", &self.0.to_string());
        let is_restored = query.execute(session).await?.rows_affected() > 0;
        Ok(if is_restored { Restoration::Done } else { Restoration::NotDeleted })
    }
}
