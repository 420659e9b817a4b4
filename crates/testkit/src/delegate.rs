//! Roles of a backend that a wrapper passes on as they are.
//!
//! Owns: the macro that writes them. Does not own: what a wrapper does itself; it writes that role by hand.

/// Implements roles of the storage seam by the backend in a field: `delegate! { ScanEntries, ManageGames for Wrapper, via inner }`.
/// Knows `ScanEntries`, `ExpireHistory` and `ManageGames`. The crate of the wrapper must depend on `clawstore-core`.
#[macro_export]
macro_rules! delegate {
    ($($role:ident),+ for $wrapper:ty, via $inner:ident) => {
        $($crate::delegate! { @$role $wrapper, $inner })+
    };
    (@ScanEntries $wrapper:ty, $inner:ident) => {
        $crate::delegate! { @impl ScanEntries for $wrapper, $inner:
            list_stores() -> Vec<StoreId>;
            list_game_stores(query: StoresQuery) -> Vec<StoreInfo>;
            list_keys(range: KeyRange) -> Vec<KeyItem>;
            read_version(key: EntryKey, id: VersionId, kept: Kept) -> Option<Entry>;
            read_version_at(key: EntryKey, at: Timestamp, kept: Kept) -> Option<Entry>;
            list_versions(query: VersionQuery) -> Vec<VersionInfo>;
            list_sorted(query: SortedQuery) -> Vec<SortedItem>;
        }
    };
    (@ExpireHistory $wrapper:ty, $inner:ident) => {
        $crate::delegate! { @impl ExpireHistory for $wrapper, $inner:
            expire(sweep: Arc<Sweep>) -> usize;
            remove_version(key: EntryKey, id: VersionId) -> ();
        }
    };
    (@ManageGames $wrapper:ty, $inner:ident) => {
        $crate::delegate! { @impl ManageGames for $wrapper, $inner:
            take_snapshot(game: GameId, at: Timestamp, is_simulated: bool) -> Snapshot;
            deleted_games() -> Vec<(GameId, Timestamp)>;
            delete_game(game: GameId, at: Timestamp) -> Deletion;
            restore_game(game: GameId) -> Restoration;
            purge_game(game: GameId, rows: usize) -> usize;
        }
    };
    (@impl $role:ident for $wrapper:ty, $inner:ident: $($call:ident($($name:ident: $kind:ty),*) -> $answer:ty;)+) => {
        const _: () = {
            #[allow(unused_imports, clippy::wildcard_imports, reason = "each role needs some of them")]
            use {
                ::clawstore_core::backend::*, ::clawstore_core::clock::Timestamp, ::clawstore_core::entry::VersionId,
                ::clawstore_core::{Entry, EntryKey, GameId, StoreId}, ::std::sync::Arc,
            };

            impl $role for $wrapper {
                $(fn $call(&self, $($name: $kind),*) -> BackendFuture<'_, $answer> {
                    self.$inner.$call($($name),*)
                })+
            }
        };
    };
}
