//! The backend: a database shared with other processes.
//!
//! Owns: opening and closing, which call goes over which of the four connections, and its deadline. Does not own: the
//! statements (`commit`, `leases`, `reads`, `scans`, `history`, `games`, `purge`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use clawstore_core::backend::{
    Backend, BackendError, BackendErrorKind, BackendFuture, Batch, CarryMessages, CommitBatches, Deletion,
    ExpireHistory, HoldLeases, Kept, KeyItem, KeyRange, ManageGames, ReadEntries, Restoration, RowOutcome, ScanEntries,
    Snapshot, SortedItem, SortedQuery, StoreInfo, StoresQuery, Sweep, VersionInfo, VersionQuery,
};
use clawstore_core::clock::Timestamp;
use clawstore_core::entry::VersionId;
use clawstore_core::{Entry, EntryKey, GameId, StoreId};
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use crate::commit::commit;
use crate::durability::Durability;
use crate::history::RemoveVersion;
use crate::link::{Call, Link, Waiting};
use crate::open_error::OpenError;
use crate::purge::{PurgeGame, Purges};
use crate::session::{self, Purpose};
use crate::store_ids::StoreIds;
use crate::{games, migrate, reads, scans};

/// Lanes of a process (`decisions.md` 5). Each has a connection, opened when it is first used.
pub(crate) const LANES: u16 = 2;

/// Deadline of a call that is not a commit.
pub(crate) const CALL_DEADLINE: Duration = Duration::from_secs(5);
/// Deadline of a beat, and of what makes others suspect or trust: five beats missed are a death.
pub(crate) const BEAT_DEADLINE: Duration = Duration::from_secs(2);

/// Beats between two looks at the partitions of versions: about an hour.
const BEATS_BETWEEN_MAINTENANCE: u32 = 3_600;
/// The same after one that was not finished: about a minute.
const BEATS_BEFORE_RETRY: u32 = 60;

/// What can be chosen. The default suits a game server.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PgSettings {
    /// Apply missing migrations when opening. Off, or without the right to create tables, a schema that lacks some is
    /// refused with what to do.
    pub migrate: bool,
    /// Refuse a server whose settings lose acknowledged writes.
    pub durable: bool,
    /// By which name operators see this process as the owner of keys.
    pub server: String,
}

impl Default for PgSettings {
    fn default() -> Self {
        Self { migrate: true, durable: true, server: format!("process {}", std::process::id()) }
    }
}

/// A database that this process shares with others. Four connections at most, none of them from a pool; one more while an operator
/// asks for a snapshot, a deletion, its way back or a purge.
///
/// Its futures need a tokio runtime with I/O and time. One that is dropped in the middle closes its connection; the next
/// call opens another.
#[derive(Debug)]
pub struct PgBackend {
    /// Beats, deaths, joining and leaving: what must not wait behind anything. And messages, which are in a hurry too.
    control: Link,
    /// Reads, acquisition, release.
    calls: Link,
    lanes: [Link; LANES as usize],
    stores: StoreIds,
    purges: Purges,
    server: String,
    durability: Durability,
    beats_to_maintenance: AtomicU32,
}

impl PgBackend {
    /// Checks the server and the schema, and applies missing migrations if `settings` say so.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(options: PgConnectOptions, settings: PgSettings) -> Result<Self, OpenError> {
        let (session, durability) = session::open(&options, Purpose::Calls, settings.durable).await?;
        let waiting = Waiting::new(durability.waits_for_standby().into());
        // The server notices by itself if the good-bye does not arrive.
        let _ = session.close().await;
        migrate::ensure(&options, settings.migrate).await?;
        let link = |purpose| Link::new(&options, purpose, settings.durable, &waiting);
        Ok(Self {
            control: link(Purpose::Calls),
            calls: link(Purpose::Calls),
            lanes: std::array::from_fn(|_| link(Purpose::Commits)),
            stores: StoreIds::default(),
            purges: Purges::default(),
            server: settings.server,
            durability,
            // With the first beat: servers look after partitions, tools that look into the database write nothing.
            beats_to_maintenance: AtomicU32::new(1),
        })
    }

    /// What acknowledged writes survive, for people to read at the start.
    pub fn durability(&self) -> &Durability {
        &self.durability
    }

    /// Closes all connections once the calls that use them are done. A later call opens them again.
    pub async fn close(&self) {
        for lane in &self.lanes {
            lane.close().await;
        }
        self.calls.close().await;
        self.control.close().await;
    }

    pub(crate) fn control(&self) -> &Link {
        &self.control
    }

    pub(crate) fn calls(&self) -> &Link {
        &self.calls
    }

    pub(crate) fn stores(&self) -> &StoreIds {
        &self.stores
    }

    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// Partitions are made 14 days ahead, so what is not finished may wait.
    pub(crate) async fn maintain_versions(&self) {
        let next = match self.control.ask("making partitions", BEAT_DEADLINE, &MaintainVersions).await {
            Ok(true) => BEATS_BETWEEN_MAINTENANCE,
            Ok(false) => BEATS_BEFORE_RETRY,
            Err(error) => {
                tracing::warn!(%error, "partitions of versions were not looked after; trying again in a minute");
                BEATS_BEFORE_RETRY
            }
        };
        self.beats_to_maintenance.store(next, Ordering::Relaxed);
    }

    pub(crate) fn is_maintenance_due(&self) -> bool {
        self.beats_to_maintenance.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

/// Partitions of versions, ahead and behind. `false`: not finished.
struct MaintainVersions;

impl Call for MaintainVersions {
    type Answer = bool;

    async fn run(&self, session: &mut PgConnection) -> Result<bool, sqlx::Error> {
        Ok(sqlx::query_file!("queries/maintain_versions.sql").fetch_one(session).await?.done)
    }
}

impl ReadEntries for PgBackend {
    fn read_entries(&self, keys: Vec<EntryKey>) -> BackendFuture<'_, Vec<Entry>> {
        Box::pin(async move {
            let call = reads::ReadEntries { stores: &self.stores, keys: &keys };
            self.calls.ask("a read", CALL_DEADLINE, &call).await
        })
    }
}

impl CommitBatches for PgBackend {
    fn lanes(&self) -> u16 {
        LANES
    }

    fn commit_batch(&self, batch: Arc<Batch>) -> BackendFuture<'_, Vec<RowOutcome>> {
        Box::pin(async move {
            let Some(lane) = self.lanes.get(usize::from(batch.lane.number)) else {
                let text = format!("lane {} of {LANES} does not exist", batch.lane.number);
                return Err(BackendError::new(BackendErrorKind::Over, text));
            };
            commit(lane, &self.stores, &batch).await
        })
    }
}

impl ScanEntries for PgBackend {
    fn list_stores(&self) -> BackendFuture<'_, Vec<StoreId>> {
        Box::pin(self.calls.ask("listing stores", CALL_DEADLINE, &reads::ListStores))
    }

    fn list_game_stores(&self, query: StoresQuery) -> BackendFuture<'_, Vec<StoreInfo>> {
        Box::pin(async move {
            self.calls.ask("listing the stores of a game", CALL_DEADLINE, &reads::ListGameStores(&query)).await
        })
    }

    fn list_keys(&self, range: KeyRange) -> BackendFuture<'_, Vec<KeyItem>> {
        Box::pin(async move {
            let call = reads::ListKeys { stores: &self.stores, range: &range };
            self.calls.ask("listing keys", CALL_DEADLINE, &call).await
        })
    }

    fn read_version(&self, key: EntryKey, id: VersionId, kept: Kept) -> BackendFuture<'_, Option<Entry>> {
        Box::pin(async move {
            let call = scans::ReadVersion { stores: &self.stores, key: &key, id, kept };
            self.calls.ask("reading a version", CALL_DEADLINE, &call).await
        })
    }

    fn read_version_at(&self, key: EntryKey, at: Timestamp, kept: Kept) -> BackendFuture<'_, Option<Entry>> {
        Box::pin(async move {
            let call = scans::ReadVersionAt { stores: &self.stores, key: &key, at, kept };
            self.calls.ask("reading the version of a time", CALL_DEADLINE, &call).await
        })
    }

    fn list_versions(&self, query: VersionQuery) -> BackendFuture<'_, Vec<VersionInfo>> {
        Box::pin(async move {
            let call = scans::ListVersions { stores: &self.stores, query: &query };
            self.calls.ask("listing versions", CALL_DEADLINE, &call).await
        })
    }

    fn list_sorted(&self, query: SortedQuery) -> BackendFuture<'_, Vec<SortedItem>> {
        Box::pin(async move {
            let call = scans::ListSorted { stores: &self.stores, query: &query };
            self.calls.ask("listing by number", CALL_DEADLINE, &call).await
        })
    }
}

impl ExpireHistory for PgBackend {
    fn expire(&self, sweep: Arc<Sweep>) -> BackendFuture<'_, usize> {
        Box::pin(async move { self.calls.ask("deleting old history", CALL_DEADLINE, &*sweep).await.flatten() })
    }

    fn remove_version(&self, key: EntryKey, id: VersionId) -> BackendFuture<'_, ()> {
        Box::pin(async move {
            let call = RemoveVersion { stores: &self.stores, key: &key, id };
            self.calls.ask_for_change("removing a version", CALL_DEADLINE, &call).await
        })
    }
}

impl ManageGames for PgBackend {
    fn take_snapshot(&self, game: GameId, at: Timestamp, is_simulated: bool) -> BackendFuture<'_, Snapshot> {
        Box::pin(async move {
            let call = games::TakeSnapshot { game, at, is_simulated };
            self.calls.ask_about_game("a snapshot", &call).await.flatten()
        })
    }

    fn deleted_games(&self) -> BackendFuture<'_, Vec<(GameId, Timestamp)>> {
        Box::pin(self.calls.ask("listing deleted games", CALL_DEADLINE, &games::ListDeletedGames))
    }

    fn delete_game(&self, game: GameId, at: Timestamp) -> BackendFuture<'_, Deletion> {
        Box::pin(
            async move { self.calls.ask_about_game("the deletion of a game", &games::DeleteGame { game, at }).await },
        )
    }

    fn restore_game(&self, game: GameId) -> BackendFuture<'_, Restoration> {
        Box::pin(async move { self.calls.ask_about_game("restoring a game", &games::RestoreGame(game)).await })
    }

    fn purge_game(&self, game: GameId, rows: usize) -> BackendFuture<'_, usize> {
        Box::pin(async move {
            let call = PurgeGame { purges: &self.purges, game, rows };
            self.calls.ask_about_game("purging a game", &call).await.flatten()
        })
    }
}

impl Backend for PgBackend {
    fn leases(&self) -> Option<&dyn HoldLeases> {
        Some(self)
    }

    fn messages(&self) -> Option<&dyn CarryMessages> {
        Some(self)
    }
}
