//! Whole games: snapshots, deletion with its way back, purge, and which games are deleted.
//!
//! Owns: refusing what would hurt somebody, giving a game's leases back before it is deleted, and that every open game knows
//! whether it is deleted. Does not own: what is marked or deleted (the backend), asking people whether they mean it (`cli`),
//! that calls of a deleted game fail (`client`).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clawstore_core::backend::{BackendError, Deletion, Restoration, Snapshot};
use clawstore_core::clock::Timestamp;
use clawstore_core::limits::GAME_RESTORE_DAYS;
use clawstore_core::{CallError, GameId};
use tokio::time::Instant;

use crate::activation::break_off;
use crate::game::Game;
use crate::process::Process;
use crate::slot::Slot;
use crate::sweeper::StepSize;

/// How long a deletion waits for calls of the game that are on their way, and for leases that are being given back.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two attempts at a deletion while leases are being given back.
const PAUSE: Duration = Duration::from_millis(50);

/// A game that is deleted and not purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeletedGame {
    /// Which game.
    pub game: GameId,
    /// When it was deleted.
    pub at: Timestamp,
}

impl DeletedGame {
    /// It is kept until then, unless it is purged on purpose: [`GAME_RESTORE_DAYS`] after its deletion.
    pub fn kept_until(&self) -> Timestamp {
        self.at.later(Duration::from_secs(u64::from(GAME_RESTORE_DAYS) * 86_400))
    }
}

/// When a deleted game may be purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purge {
    /// After the days for which it is kept.
    #[default]
    WhenDue,
    /// At once: nobody will want it back.
    Now,
}

/// Why nothing was done with a game.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LifeCycleError {
    /// Nothing was ever stored for it.
    #[error("game {0} has no data: nothing was deleted")]
    NoData(GameId),
    /// It is deleted already.
    #[error("game {} is deleted already, since {} ms of Unix time: nothing was changed", .0.game, .0.at.unix_ms())]
    AlreadyDeleted(DeletedGame),
    /// Servers use it.
    #[error("game {game} is in use by {by}: nothing was deleted; stop its servers first")]
    InUse {
        /// Which game.
        game: GameId,
        /// Who uses it.
        by: String,
    },
    /// Its host has it use the data of another game.
    #[error(
        "game {game} uses the data of game {universe} (setting `games.{game}.universe`): nothing was changed; name that one"
    )]
    NotItsOwn {
        /// Which game.
        game: GameId,
        /// Whose data it uses.
        universe: GameId,
    },
    /// It is not deleted: never was, is restored, or is purged.
    #[error("game {0} is not deleted: nothing was changed")]
    NotDeleted(GameId),
    /// Its days are not over.
    #[error("game {} can be restored for {} days after its deletion: nothing was purged", .0.game, GAME_RESTORE_DAYS)]
    StillKept(DeletedGame),
    /// It was restored, or purged by somebody else, while it was being purged.
    #[error(
        "game {game} is not deleted any more, it was restored or purged by somebody else: {rows} rows were purged before"
    )]
    BrokenOff {
        /// Which game.
        game: GameId,
        /// Rows that are gone.
        rows: u64,
    },
    /// The store could not do it.
    #[error("the store has failed: {0}")]
    Store(BackendError),
}

impl From<BackendError> for LifeCycleError {
    fn from(error: BackendError) -> Self {
        Self::Store(error)
    }
}

impl Process {
    /// From now on the first write of every key of the game keeps what it supersedes. At most once a UTC day.
    ///
    /// # Errors
    /// If the store cannot do it.
    pub async fn take_snapshot(&self, game: GameId) -> Result<Snapshot, LifeCycleError> {
        Ok(self.reader.backend().take_snapshot(game, self.clock.wall(), self.clock.is_simulated()).await?)
    }

    /// Games that are deleted and not purged.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn deleted_games(&self) -> Result<Vec<DeletedGame>, LifeCycleError> {
        let deleted = self.reader.backend().deleted_games().await?;
        Ok(deleted.into_iter().map(|(game, at)| DeletedGame { game, at }).collect())
    }

    /// Marks a game as deleted: its calls fail from now on, in every process. Nothing is lost before it is purged.
    ///
    /// # Errors
    /// If it has open servers, is deleted already, has no data, or the store cannot do it.
    pub async fn delete_game(&self, id: GameId) -> Result<DeletedGame, LifeCycleError> {
        let _turn = self.life_cycle.lock().await;
        // Before the store is asked: a game that is opened meanwhile refuses its first call already.
        let was_deleted = self.note_deleted(id, true);
        let deleted = match self.open_game(id) {
            Some(game) => self.delete_open_game(&game).await,
            None => self.mark_deleted(id).await,
        };
        match &deleted {
            Ok(_) | Err(LifeCycleError::AlreadyDeleted(_)) => {}
            Err(LifeCycleError::Store(_)) => {
                self.note_deleted(id, was_deleted);
                // Whatever came of it is what the store says.
                drop(self.read_deleted().await);
            }
            Err(_) => {
                self.note_deleted(id, false);
            }
        }
        self.tell_game(id);
        deleted
    }

    async fn delete_open_game(&self, game: &Game) -> Result<DeletedGame, LifeCycleError> {
        let in_use = |count: usize, what: &str| LifeCycleError::InUse {
            game: game.id,
            by: format!("{count} {what}{} of this process", if count == 1 { "" } else { "s" }),
        };
        match game.hub.servers() {
            0 => {}
            servers => return Err(in_use(servers, "server")),
        }
        // From now on calls are refused.
        game.set_deleted(true);
        let until = Instant::now() + PATIENCE;
        if !game.none_open_by(until).await {
            return Err(in_use(game.stats().in_flight, "call"));
        }
        let mut had_leases = false;
        loop {
            had_leases |= game.forget_keys();
            let result = self.mark_deleted(game.id).await;
            // Leases that the store has not taken back yet are this process's own use.
            let may_be_own = had_leases && matches!(&result, Err(LifeCycleError::InUse { .. }));
            if !may_be_own || Instant::now() >= until {
                return result;
            }
            pause().await;
        }
    }

    async fn mark_deleted(&self, game: GameId) -> Result<DeletedGame, LifeCycleError> {
        let at = self.clock.wall();
        match self.reader.backend().delete_game(game, at).await? {
            Deletion::Done => Ok(DeletedGame { game, at }),
            Deletion::Already(at) => Err(LifeCycleError::AlreadyDeleted(DeletedGame { game, at })),
            Deletion::Unknown => Err(LifeCycleError::NoData(game)),
            Deletion::InUse(by) => Err(LifeCycleError::InUse { game, by }),
        }
    }

    /// Takes a deletion back: everything is as it was. What a purge that was broken off has deleted is gone.
    ///
    /// # Errors
    /// If the game is not deleted, or the store cannot do it.
    pub async fn restore_game(&self, id: GameId) -> Result<(), LifeCycleError> {
        let _turn = self.life_cycle.lock().await;
        match self.reader.backend().restore_game(id).await? {
            Restoration::Done => {
                self.note_deleted(id, false);
                self.tell_game(id);
                Ok(())
            }
            Restoration::NotDeleted => Err(LifeCycleError::NotDeleted(id)),
        }
    }

    /// Deletes a game that is marked as deleted for good, in steps, and says how many rows it had. Afterwards it may be used
    /// anew. One that was broken off goes on where it was.
    ///
    /// # Errors
    /// If the game is not deleted or is restored meanwhile, is still kept (unless [`Purge::Now`]), or the store cannot do it.
    pub async fn purge_game(&self, id: GameId, when: Purge) -> Result<u64, LifeCycleError> {
        let deleted = self.find_deleted(id).await?.ok_or(LifeCycleError::NotDeleted(id))?;
        if when == Purge::WhenDue && self.clock.wall() < deleted.kept_until() {
            return Err(LifeCycleError::StillKept(deleted));
        }
        let (mut rows, mut size) = (0, StepSize::default());
        loop {
            // Between two steps others have their turn: to restore the game, for instance. Another process may do so.
            let _turn = self.life_cycle.lock().await;
            if self.find_deleted(id).await? != Some(deleted) {
                return Err(LifeCycleError::BrokenOff { game: id, rows });
            }
            let most = size.rows();
            if let Some(step) = size.note(self.reader.backend().purge_game(id, most).await)? {
                rows += step as u64;
                if step < most {
                    self.note_deleted(id, false);
                    self.tell_game(id);
                    return Ok(rows);
                }
            }
        }
    }

    async fn find_deleted(&self, id: GameId) -> Result<Option<DeletedGame>, LifeCycleError> {
        Ok(self.deleted_games().await?.into_iter().find(|deleted| deleted.game == id))
    }

    /// Asks the store which games are deleted, and tells those that are open.
    pub(crate) async fn refresh_deleted(&self) -> Result<(), BackendError> {
        let _turn = self.life_cycle.lock().await;
        self.read_deleted().await
    }

    /// The same, in a turn of the caller's.
    async fn read_deleted(&self) -> Result<(), BackendError> {
        let deleted: HashSet<_> =
            self.reader.backend().deleted_games().await?.into_iter().map(|(game, _)| game).collect();
        // A game that is opened from now on knows it by itself.
        self.games.lock().deleted = deleted;
        self.open_games().into_iter().for_each(|id| self.tell_game(id));
        Ok(())
    }

    /// Says whether it was noted before.
    fn note_deleted(&self, id: GameId, is_deleted: bool) -> bool {
        let deleted = &mut self.games.lock().deleted;
        if is_deleted { !deleted.insert(id) } else { deleted.remove(&id) }
    }

    /// Tells a game, if it is open, whether it is deleted. In a turn of the caller's.
    fn tell_game(&self, id: GameId) {
        let (game, is_deleted) = {
            let games = self.games.lock();
            (games.open.get(&id).cloned(), games.deleted.contains(&id))
        };
        // Not under the lock: it answers calls.
        if let Some(game) = game {
            game.set_deleted(is_deleted);
        }
    }
}

impl Game {
    /// Takes a game's keys out of memory and gives their leases back; says whether there were any. Nothing of it may be open.
    fn forget_keys(&self) -> bool {
        let mut slots: Vec<Arc<Slot>> = Vec::new();
        self.directory.for_each(|slot| slots.push(Arc::clone(slot)));
        let mut had_leases = false;
        for slot in slots {
            had_leases |= slot.lock().lease.is_some();
            self.passivate(&slot);
            self.remove_expired(&slot, true);
        }
        had_leases
    }

    /// From now on calls of this game fail, or do not. Those that wait for a lease fail too: there will be none.
    pub(crate) fn set_deleted(&self, is_deleted: bool) {
        if self.deleted.swap(is_deleted, Ordering::AcqRel) || !is_deleted {
            return;
        }
        let mut slots = Vec::new();
        self.directory.for_each(|slot| slots.push(Arc::clone(slot)));
        slots.iter().for_each(|slot| break_off(slot, &CallError::deleted()));
    }

    /// Its data is marked as deleted.
    pub(crate) fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }
}

#[expect(clippy::disallowed_methods, reason = "a deletion waits for leases that the store is told of meanwhile")]
async fn pause() {
    tokio::time::sleep(PAUSE).await;
}
