//! Whole games.
//!
//! Owns: the statements of snapshots, deletion, its way back, and the purge. Does not own: refusing the calls of a deleted game
//! (`actors`), asking people whether they mean it (`cli`), which rows a snapshot keeps (`commit_batch_v1` in `migrations/`).

use clawstore_core::GameId;
use clawstore_core::backend::{BackendError, BackendErrorKind, Deletion, Restoration, Snapshot};
use clawstore_core::clock::Timestamp;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Postgres, Transaction};

use crate::columns::{bound, count, ticks, unreadable};
use crate::history::deleted;
use crate::link::Call;

/// From now on what is overwritten is kept.
pub(crate) struct TakeSnapshot {
    pub(crate) game: GameId,
    pub(crate) at: Timestamp,
}

impl Call for TakeSnapshot {
    type Answer = Snapshot;

    async fn run(&self, session: &mut PgConnection) -> Result<Snapshot, sqlx::Error> {
        let game = self.game.to_string();
        let query = sqlx::query_file!("queries/take_snapshot.sql", &game, bound(self.at));
        if let Some(row) = query.fetch_optional(&mut *session).await? {
            return Ok(Snapshot { is_new: true, at: ticks(row.snapshot)? });
        }
        let row = sqlx::query_file!("queries/read_snapshot.sql", &game).fetch_one(session).await?;
        // A purge came between.
        let at = row.snapshot.map_or(Ok(self.at), ticks)?;
        Ok(Snapshot { is_new: false, at })
    }
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
        // Looks at every key of the game.
        sqlx::raw_sql("SET LOCAL statement_timeout = '60s'").execute(&mut *session).await?;
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
async fn end<T>(transaction: Transaction<'_, Postgres>, result: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
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

/// One step of a purge. The inner error is of the call, not of the connection.
pub(crate) struct PurgeGame {
    pub(crate) game: GameId,
    pub(crate) rows: usize,
}

impl Call for PurgeGame {
    type Answer = Result<usize, BackendError>;

    async fn run(&self, session: &mut PgConnection) -> Result<Self::Answer, sqlx::Error> {
        let mut transaction = session.begin().await?;
        let result = self.step(&mut transaction).await;
        end(transaction, result).await
    }
}

impl PurgeGame {
    async fn step(&self, session: &mut PgConnection) -> Result<Result<usize, BackendError>, sqlx::Error> {
        let query = sqlx::query_file!("queries/lock_game.sql", &self.game.to_string());
        let marked = query.fetch_optional(&mut *session).await?.filter(|game| game.deleted.is_some());
        let Some(game) = marked else { return Ok(Ok(0)) };
        let query = sqlx::query_file!("queries/purge_versions.sql", game.id, count(self.rows));
        let versions = deleted(query.execute(&mut *session).await?.rows_affected());
        let left = count(self.rows.saturating_sub(versions));
        let query = sqlx::query_file!("queries/purge_entries.sql", game.id, left);
        let rows = versions + deleted(query.execute(&mut *session).await?.rows_affected());
        let is_last = rows < self.rows;
        let ended = match is_last {
            true => sqlx::query_file!("queries/end_purge.sql", game.id).execute(session).await?.rows_affected(),
            false => 0,
        };
        Ok(if is_last && ended == 0 { Err(is_owned(self.game)) } else { Ok(rows) })
    }
}

fn is_owned(game: GameId) -> BackendError {
    let text = format!(
        "game {game} is not purged yet: a server that is alive owns some of its keys; ask again when it has left"
    );
    BackendError::new(BackendErrorKind::Unavailable, text)
}
