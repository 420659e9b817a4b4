//! The purge of a game that is marked as deleted, in steps.
//!
//! Owns: its statements, and from which store the next step goes on. Does not own: the mark (`games`), how many rows a step has
//! (`actors`).

use std::sync::{Mutex, MutexGuard, PoisonError};

use clawstore_core::GameId;
use clawstore_core::backend::{BackendError, BackendErrorKind};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::columns::count;
use crate::games::end;
use crate::link::Call;

/// Where the purge of one game has arrived: stores before these had nothing left. Only saves looking at them again: no purge ends
/// before all stores were looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Place {
    game: i32,
    /// When it was marked: another deletion begins anew.
    deleted: i64,
    versions: i32,
    entries: i32,
}

/// The place of the last step.
#[derive(Debug, Default)]
pub(crate) struct Purges(Mutex<Place>);

impl Purges {
    fn place(&self) -> MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One step of a purge. The inner error is of the call, not of the connection.
pub(crate) struct PurgeGame<'a> {
    pub(crate) purges: &'a Purges,
    pub(crate) game: GameId,
    pub(crate) rows: usize,
}

impl Call for PurgeGame<'_> {
    type Answer = Result<usize, BackendError>;

    async fn run(&self, session: &mut PgConnection) -> Result<Self::Answer, sqlx::Error> {
        let mut transaction = session.begin().await?;
        let result = self.step(&mut transaction).await;
        end(transaction, result).await
    }
}

impl PurgeGame<'_> {
    async fn step(&self, session: &mut PgConnection) -> Result<Result<usize, BackendError>, sqlx::Error> {
        let query = sqlx::query_file!("queries/lock_game.sql", &self.game.to_string());
        let Some(game) = query.fetch_optional(&mut *session).await? else { return Ok(Ok(0)) };
        let Some(deleted) = game.deleted else { return Ok(Ok(0)) };
        let start = Place { game: game.id, deleted, ..Place::default() };
        let last = *self.purges.place();
        let is_same = (last.game, last.deleted) == (start.game, start.deleted);
        let mut place = if is_same { last } else { start };
        let mut rows = 0;
        // Once more from the beginning if something came behind the place.
        loop {
            let begun = place;
            rows += delete(session, &mut place, count(self.rows - rows)).await?;
            *self.purges.place() = place;
            if rows >= self.rows {
                return Ok(Ok(rows));
            }
            if sqlx::query_file!("queries/end_purge.sql", game.id).execute(&mut *session).await?.rows_affected() > 0 {
                return Ok(Ok(rows));
            }
            *self.purges.place() = start;
            if begun == start {
                return Ok(Err(is_owned(self.game)));
            }
            place = start;
        }
    }
}

/// Deletes from the place on, and moves it.
async fn delete(session: &mut PgConnection, place: &mut Place, rows: i64) -> Result<usize, sqlx::Error> {
    let query = sqlx::query_file!("queries/purge_versions.sql", place.game, rows, place.versions);
    let versions = query.fetch_one(&mut *session).await?;
    place.versions = after(place.versions, versions.rows, rows, versions.last);
    let left = rows - versions.rows;
    let query = sqlx::query_file!("queries/purge_entries.sql", place.game, left, place.entries);
    let entries = query.fetch_one(session).await?;
    place.entries = after(place.entries, entries.rows, left, entries.last);
    Ok(usize::try_from(versions.rows + entries.rows).unwrap_or(usize::MAX))
}

/// From which store to go on, where so many rows were deleted of so many, the last one of the store `last`.
fn after(place: i32, deleted: i64, rows: i64, last: Option<i32>) -> i32 {
    if deleted < rows { i32::MAX } else { last.unwrap_or(place) }
}

fn is_owned(game: GameId) -> BackendError {
    let text = format!(
        "game {game} is not purged yet: a server that is alive owns some of its keys; ask again when it has left"
    );
    BackendError::new(BackendErrorKind::Unavailable, text)
}
