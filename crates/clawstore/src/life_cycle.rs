//! Whole games, for Rust code and the command line: a backup of every key, deletion with its way back, purge.
//!
//! Owns: doing it on the store's own runtime, so that it may be asked for anywhere, and refusing a game whose data is another's.
//! Does not own: what is done (`clawstore_actors`), asking people whether they mean it (`clawstore game`).

use std::future::Future;
use std::sync::Arc;

use clawstore_actors::{DeletedGame, LifeCycleError, Process, Purge};
use clawstore_core::GameId;
use clawstore_core::backend::{BackendError, BackendErrorKind, Snapshot};

use crate::store::Clawstore;

impl Clawstore {
    /// From now on the first write of every key of the game keeps what it supersedes as a version, in the hour in which one is
    /// kept anyway, too: a backup of all of them, before an update of the game for instance. At most once a UTC day; a second
    /// one changes nothing and says so.
    ///
    /// # Errors
    /// If the store cannot do it.
    pub async fn snapshot(&self, game: GameId) -> Result<Snapshot, LifeCycleError> {
        let game = self.universe(game);
        self.on_runtime(move |process| async move { process.take_snapshot(game).await }).await
    }

    /// Games that are deleted and not purged.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn deleted_games(&self) -> Result<Vec<DeletedGame>, LifeCycleError> {
        self.on_runtime(|process| async move { process.deleted_games().await }).await
    }

    /// Deletes the data of a game: calls of it fail from now on, in every process. Nothing is lost yet: it can be restored until
    /// it is purged. Its servers in this process must be closed before; calls of Rust code are waited for.
    ///
    /// # Errors
    /// If servers use it, it uses the data of another game, is deleted already, has no data, or the store cannot do it.
    pub async fn delete_game(&self, game: GameId) -> Result<DeletedGame, LifeCycleError> {
        self.check_own(game)?;
        self.on_runtime(move |process| async move { process.delete_game(game).await }).await
    }

    /// Takes a deletion back: everything is as it was. Other processes notice within seconds.
    ///
    /// # Errors
    /// If the game is not deleted, or the store cannot do it.
    pub async fn restore_game(&self, game: GameId) -> Result<(), LifeCycleError> {
        self.check_own(game)?;
        self.on_runtime(move |process| async move { process.restore_game(game).await }).await
    }

    /// Deletes the data of a deleted game for good, and says how many rows it had: of keys and of their versions. It goes on if
    /// nobody waits for it any more; one that was broken off is finished by the next.
    ///
    /// # Errors
    /// If the game is not deleted, can still be restored (unless [`Purge::Now`]), or the store cannot do it.
    pub async fn purge_game(&self, game: GameId, when: Purge) -> Result<u64, LifeCycleError> {
        self.check_own(game)?;
        self.on_runtime(move |process| async move { process.purge_game(game, when).await }).await
    }

    /// What several games share is not deleted under the name of one that only uses it.
    fn check_own(&self, game: GameId) -> Result<(), LifeCycleError> {
        match self.universe(game) {
            universe if universe == game => Ok(()),
            universe => Err(LifeCycleError::NotItsOwn { game, universe }),
        }
    }

    async fn on_runtime<T, F>(&self, f: impl FnOnce(Arc<Process>) -> F) -> Result<T, LifeCycleError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, LifeCycleError>> + Send + 'static,
    {
        let stopped = |_| BackendError::new(BackendErrorKind::Unavailable, "the store has been shut down");
        self.runtime.handle().spawn(f(Arc::clone(&self.process))).await.map_err(stopped)?
    }
}
