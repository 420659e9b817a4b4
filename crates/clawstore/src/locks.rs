//! Who holds which key, for operators: a list, and taking a key from its owner.
//!
//! Owns: taking one away as any other server would: asking for it first, taking it over by its fence if its owner does not give it.
//! Does not own: the rules of that (`clawstore_core::lease`), what becomes of the owner: its next write is refused, it asks for the
//! key again, and nothing is lost.

use std::sync::Arc;
use std::time::Duration;

use clawstore_core::backend::{
    Backend, BackendError, BackendErrorKind, Fence, GiveBack, Hint, HoldLeases, Holder, Incarnation, LeaseAnswer,
    LeaseAsk, Lock, LockQuery,
};
use clawstore_core::limits::{ACQUIRE_PAUSE, WANTED_BEFORE_READ};
use tokio::time::Instant;
use uuid::Uuid;

use crate::builder::OpenError;
use crate::database::Database;
use crate::opened::Opened;
use crate::runtime::{Running, Runtime};

/// An owner that does not give the key within this time loses it. Longer than it shows the value of a wanted key by itself.
const PATIENCE: Duration = Duration::from_secs(3);

/// How a lock was released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Released {
    /// Its owner gave the key, or nobody was there that could have.
    Given,
    /// It was taken from an owner that lives and did not give it. The owner's next write is refused, and it asks for the key
    /// again.
    Taken,
    /// It was shared, and is not any more.
    Unshared,
    /// It has changed hands since it was listed: nothing was done.
    Changed,
}

/// Why locks could not be listed or released.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// One process has the database to itself.
    #[error("{0} is used by one process at a time, which owns all keys: there are no locks to look at")]
    NotShared(String),
    /// It could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database could not be asked.
    #[error(transparent)]
    Store(#[from] BackendError),
}

/// Access to the locks of a database, also while servers use it. The schema must be up to date.
pub struct Locks {
    backend: Arc<dyn Backend>,
    opened: Arc<Opened>,
    runtime: Running,
}

impl std::fmt::Debug for Locks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Locks").finish_non_exhaustive()
    }
}

const _: () =
    assert!(PATIENCE.as_millis() > WANTED_BEFORE_READ.as_millis(), "no owner shows a key that was taken from it");

impl Locks {
    /// Opens a database without joining its servers. Blocks.
    ///
    /// # Errors
    /// If it cannot be opened, or belongs to one process at a time.
    pub fn open(database: Database) -> Result<Self, LockError> {
        let name = database.to_string();
        if !database.is_shared() && !matches!(database, Database::Custom(_)) {
            return Err(LockError::NotShared(name));
        }
        let runtime = Running::start(Runtime::Own { workers: 1 }).map_err(OpenError::from)?;
        let opened = Arc::new(Opened::open(database, &runtime, false)?);
        let backend = Arc::clone(&opened.backend);
        if backend.leases().is_none() {
            return Err(LockError::NotShared(name));
        }
        Ok(Self { backend, opened, runtime })
    }

    /// Keys that have an owner, alive or not, or are shared, in the order of store, scope and key.
    ///
    /// # Errors
    /// If the database cannot be asked.
    pub async fn list(&self, query: LockQuery) -> Result<Vec<Lock>, LockError> {
        self.on_runtime(|backend| async move { leases(&*backend)?.list_locks(query).await }).await
    }

    /// Takes a key from whoever holds it as `lock` says, and leaves it to whoever asks next. Asks its owner for it first, for 3 s at
    /// most.
    ///
    /// # Errors
    /// If the database cannot be asked. It may have been released all the same.
    pub async fn release(&self, lock: Lock) -> Result<Released, LockError> {
        self.on_runtime(|backend| async move {
            let leases = leases(&*backend)?;
            let me = Incarnation::from_bits(Uuid::new_v4().as_u128());
            leases.join(me).await?;
            let released = release(leases, me, &lock).await;
            // Frees whatever was granted and not given back.
            leases.leave(me).await?;
            released
        })
        .await
    }

    async fn on_runtime<T, F>(&self, f: impl FnOnce(Arc<dyn Backend>) -> F) -> Result<T, LockError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, BackendError>> + Send + 'static,
    {
        let stopped = |_| BackendError::new(BackendErrorKind::Unavailable, "the runtime has stopped");
        Ok(self.runtime.handle().spawn(f(Arc::clone(&self.backend))).await.map_err(stopped)??)
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        let opened = Arc::clone(&self.opened);
        self.runtime.wait(async move { opened.close().await });
    }
}

fn leases(backend: &dyn Backend) -> Result<&dyn HoldLeases, BackendError> {
    backend.leases().ok_or_else(|| BackendError::new(BackendErrorKind::Internal, "the store has no leases"))
}

async fn release(leases: &dyn HoldLeases, me: Incarnation, lock: &Lock) -> Result<Released, BackendError> {
    let (start, fence) = (Instant::now(), Fence::from_bits(Uuid::new_v4().as_u128()));
    let (is_shared, mut was_told) = (lock.holder == Holder::All, false);
    while start.elapsed() < PATIENCE * 2 {
        let takes = is_shared || start.elapsed() >= PATIENCE;
        let instead_of = takes.then_some(lock.fence);
        let ask = LeaseAsk { key: lock.key.clone(), fence, instead_of };
        match leases.acquire(me, vec![ask]).await?.pop() {
            Some(LeaseAnswer::Granted(_)) => {
                leases.release(vec![GiveBack::new(lock.key.clone(), fence)]).await?;
                return Ok(match (is_shared, takes) {
                    (true, _) => Released::Unshared,
                    (false, true) => Released::Taken,
                    (false, false) => Released::Given,
                });
            }
            Some(LeaseAnswer::Held { owner, fence }) if fence == lock.fence => {
                if !std::mem::replace(&mut was_told, true) {
                    // It hears of it anyway, a little later.
                    let _ = leases.hint(vec![(owner.incarnation, Hint::Wanted)]).await;
                }
            }
            Some(LeaseAnswer::Busy) => {}
            _ => return Ok(Released::Changed),
        }
        pause().await;
    }
    Err(BackendError::new(BackendErrorKind::Unavailable, "the key stays busy: nothing was released"))
}

#[expect(clippy::disallowed_methods, reason = "its owner says nothing when it gives the key")]
async fn pause() {
    tokio::time::sleep(ACQUIRE_PAUSE.0).await;
}

#[cfg(test)]
mod tests {
    use clawstore_core::{EntryKey, GameId, StoreId};
    use clawstore_testkit::MemoryBackend;

    use super::*;

    const OWNER: Incarnation = Incarnation(1);

    struct World {
        memory: MemoryBackend,
        locks: Locks,
        runtime: tokio::runtime::Runtime,
        key: EntryKey,
    }

    impl World {
        /// A key that an owner holds who does nothing.
        fn new() -> Self {
            let memory = MemoryBackend::shared();
            let locks = Locks::open(Database::Custom(Arc::new(memory.clone()))).expect("opens");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let key = EntryKey::new(&Arc::new(StoreId::global(GameId::Number(1))), b"k").expect("legal");
            let world = Self { memory, locks, runtime, key };
            world.runtime.block_on(world.memory.join(OWNER)).expect("joins");
            world
        }

        fn acquire(&self, fence: u64) {
            let ask = LeaseAsk::new(self.key.clone(), Fence(fence));
            self.runtime.block_on(self.memory.acquire(OWNER, vec![ask])).expect("an acquisition");
        }

        fn listed(&self) -> Vec<Lock> {
            let query = LockQuery { game: GameId::Number(1), store: None, prefix: "".into(), limit: 10 };
            self.runtime.block_on(self.locks.list(query)).expect("a list")
        }

        fn release(&self, lock: &Lock) -> Released {
            self.runtime.block_on(self.locks.release(lock.clone())).expect("a release")
        }
    }

    #[test]
    fn a_key_is_taken_from_an_owner_that_does_not_give_it() {
        let world = World::new();
        world.acquire(7);
        let lock = world.listed().remove(0);
        world.acquire(8);
        assert_eq!(world.release(&lock), Released::Changed, "another hold than the one that was seen");
        let lock = world.listed().remove(0);
        assert_eq!(world.release(&lock), Released::Taken);
        assert!(world.listed().is_empty());
        assert_eq!(world.memory.alive().len(), 1, "it has left again");
    }

    #[test]
    fn keys_of_the_dead_and_of_all_are_released_at_once() {
        let world = World::new();
        world.acquire(7);
        let given = GiveBack { key: world.key.clone(), fence: Fence(7), share: Some(Fence(9)) };
        world.runtime.block_on(world.memory.release(vec![given])).expect("a release");
        assert_eq!(world.release(&world.listed()[0]), Released::Unshared);
        world.acquire(10);
        world.memory.kill(OWNER);
        assert_eq!(world.release(&world.listed()[0]), Released::Given);
        assert!(world.listed().is_empty());
    }
}
