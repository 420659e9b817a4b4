//! Whole games, and history that is not kept any more.
//!
//! Owns: snapshots, deletions and expiry in memory. Does not own: what is stored (`memory_backend`).

use std::sync::Arc;

use clawstore_core::backend::{BackendFuture, Deletion, ExpireHistory, ManageGames, Restoration, Snapshot, Sweep};
use clawstore_core::clock::Timestamp;
use clawstore_core::entry::VersionId;
use clawstore_core::{Entry, EntryKey, GameId, StoreId, StoreKind};

use super::{MemoryBackend, Stored, lock};

impl Stored {
    /// The incarnation that owns a key, if it is alive.
    fn owner(&self, key: &EntryKey) -> Option<u64> {
        let (owner, _) = self.owners.get(key)?;
        self.alive.contains_key(owner).then_some(owner.0)
    }

    /// Deletes what `is_over` says, at most `rows` rows; says how many.
    fn delete_entries(&mut self, rows: usize, is_over: impl Fn(&EntryKey, &Entry) -> bool) -> usize {
        let over = self.entries.iter().filter(|(key, entry)| self.owner(key).is_none() && is_over(key, entry));
        let keys: Vec<_> = over.map(|(key, _)| key.clone()).take(rows).collect();
        for key in &keys {
            self.entries.remove(key);
        }
        keys.len()
    }

    fn delete_versions(&mut self, rows: usize, is_over: impl Fn(&EntryKey, Timestamp) -> bool) -> usize {
        let mut left = rows;
        for (key, versions) in &mut self.versions {
            versions.retain(|version| {
                let goes = left > 0 && is_over(key, version.at);
                left -= usize::from(goes);
                !goes
            });
        }
        self.versions.retain(|_, versions| !versions.is_empty());
        rows - left
    }
}

fn versions_since(sweep: &Sweep, store: &StoreId) -> Timestamp {
    let own = sweep.shorter.iter().find(|cutoff| cutoff.game == store.game && cutoff.store == store.name);
    own.map_or(sweep.kept_since, |cutoff| cutoff.kept_since)
}

impl ExpireHistory for MemoryBackend {
    fn expire(&self, sweep: Arc<Sweep>) -> BackendFuture<'_, usize> {
        Box::pin(async move {
            let mut stored = lock(&self.stored);
            let versions = stored.delete_versions(sweep.rows, |key, at| at < versions_since(&sweep, &key.store));
            // Who is alone with the store owns every key.
            let rows = if self.is_shared { sweep.rows - versions } else { 0 };
            let entries = stored.delete_entries(rows, |key, entry| {
                let is_over = entry.updated < sweep.kept_since || key.store.kind == StoreKind::Ordered;
                entry.value.is_none() && is_over
            });
            Ok(versions + entries)
        })
    }

    fn remove_version(&self, key: EntryKey, id: VersionId) -> BackendFuture<'_, ()> {
        Box::pin(async move {
            if let Some(versions) = lock(&self.stored).versions.get_mut(&key) {
                versions.retain(|version| version.entry.version() != id);
            }
            Ok(())
        })
    }
}

impl ManageGames for MemoryBackend {
    fn take_snapshot(&self, game: GameId, at: Timestamp, _is_simulated: bool) -> BackendFuture<'_, Snapshot> {
        Box::pin(async move {
            let mut stored = lock(&self.stored);
            let before = stored.snapshots.get(&game).copied();
            Ok(match before.filter(|before| before.day() >= at.day()) {
                Some(at) => Snapshot { is_new: false, at },
                None => {
                    stored.snapshots.insert(game, at);
                    Snapshot { is_new: true, at }
                }
            })
        })
    }

    fn deleted_games(&self) -> BackendFuture<'_, Vec<(GameId, Timestamp)>> {
        Box::pin(async move { Ok(lock(&self.stored).deleted.iter().map(|(game, at)| (*game, *at)).collect()) })
    }

    fn delete_game(&self, game: GameId, at: Timestamp) -> BackendFuture<'_, Deletion> {
        Box::pin(async move {
            let mut stored = lock(&self.stored);
            if let Some(at) = stored.deleted.get(&game) {
                return Ok(Deletion::Already(*at));
            }
            let of_game = |key: &&EntryKey| key.store.game == game;
            if !stored.entries.keys().any(|key| of_game(&key)) {
                return Ok(Deletion::Unknown);
            }
            if let Some(owner) = stored.owners.keys().filter(of_game).find_map(|key| stored.owner(key)) {
                return Ok(Deletion::InUse(format!("incarnation {owner}")));
            }
            stored.shared.retain(|key, _| key.store.game != game);
            stored.deleted.insert(game, at);
            Ok(Deletion::Done)
        })
    }

    fn restore_game(&self, game: GameId) -> BackendFuture<'_, Restoration> {
        Box::pin(async move {
            let was_deleted = lock(&self.stored).deleted.remove(&game).is_some();
            Ok(if was_deleted { Restoration::Done } else { Restoration::NotDeleted })
        })
    }

    fn purge_game(&self, game: GameId, rows: usize) -> BackendFuture<'_, usize> {
        Box::pin(async move {
            let mut stored = lock(&self.stored);
            if !stored.deleted.contains_key(&game) {
                return Ok(0);
            }
            let versions = stored.delete_versions(rows, |key, _| key.store.game == game);
            let entries = stored.delete_entries(rows - versions, |key, _| key.store.game == game);
            if versions + entries < rows && !stored.entries.keys().any(|key| key.store.game == game) {
                stored.deleted.remove(&game);
                stored.snapshots.remove(&game);
                stored.written.retain(|(store, _), _| *store != game);
            }
            Ok(versions + entries)
        })
    }
}
