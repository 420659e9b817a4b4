//! The suite that every backend must pass.
//!
//! Owns: what the seam promises, as tests that know nothing of the backend, and the macro that instantiates them. New
//! behaviour of the seam starts here. Does not own: faults and files; each backend tests its own.

pub mod commits;
pub mod entries;
pub mod fencing;
pub mod games;
pub mod hand_over;
pub mod history;
pub mod leases;
pub mod listing;
pub mod memory;
pub mod replay;
pub mod shared_games;
pub mod snapshots;
pub mod sorted;
pub mod stores;
pub mod sums;
pub mod version_lists;
pub mod version_times;
pub mod versions;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use clawstore_core::backend::{
    Backend, BackendErrorKind, Batch, BatchRow, Fence, GiveBack, HoldLeases, Incarnation, LaneId, LeaseAnswer,
    LeaseAsk, Previous, RowOutcome,
};
use clawstore_core::clock::Timestamp;
use clawstore_core::{Attributes, Entry, EntryKey, GameId, StoreId, StoreKind, Value};

/// Looks at kept versions past the seam, as an operator would.
pub trait InspectVersions {
    /// Versions of a key, oldest first.
    fn versions(&self, key: &EntryKey) -> Vec<Entry>;
}

/// A fresh, empty backend to be tested, as one process uses it: where there are leases, it joins and owns what it writes.
pub struct Subject {
    backend: Arc<dyn Backend>,
    inspect: Box<dyn InspectVersions>,
    seq: u64,
    lane: LaneId,
    fences: HashMap<EntryKey, Fence>,
    /// How many fences there were.
    drawn: u64,
}

impl Subject {
    /// `inspect` may also hold what must live as long as the backend, such as a temporary directory.
    pub fn new(backend: Arc<dyn Backend>, inspect: impl InspectVersions + 'static) -> Self {
        let incarnation = if backend.leases().is_some() { Incarnation(1) } else { Incarnation::default() };
        let lane = LaneId { incarnation, number: 0 };
        Self { backend, inspect: Box::new(inspect), seq: 0, lane, fences: HashMap::new(), drawn: 0 }
    }

    /// Commits rows under the next batch number.
    async fn commit(&mut self, rows: Vec<BatchRow>) -> Vec<RowOutcome> {
        let batch = self.next_batch(rows).await;
        self.backend.commit_batch(batch).await.expect("a batch that must commit")
    }

    async fn next_batch(&mut self, rows: Vec<BatchRow>) -> Arc<Batch> {
        self.seq += 1;
        self.batch(self.seq, self.seq * 1_000, rows).await
    }

    /// A batch under any number, its keys owned.
    async fn batch(&mut self, seq: u64, digest: u64, mut rows: Vec<BatchRow>) -> Arc<Batch> {
        if let Some(leases) = self.backend.leases() {
            own(leases, self.lane.incarnation, (&mut self.fences, &mut self.drawn), &rows).await;
            rows.iter_mut().for_each(|row| row.fence = self.fences[&row.key]);
        }
        Arc::new(Batch { lane: self.lane, seq, digest, rows })
    }

    /// Gives all its keys back, where there are leases.
    async fn let_go(&mut self) {
        if let Some(leases) = self.backend.leases() {
            let owned = self.fences.drain().map(|(key, fence)| GiveBack::new(key, fence));
            leases.release(owned.collect()).await.expect("a release");
        }
    }

    /// How a batch is refused whose number was used with other rows. With leases another incarnation can go on.
    fn used_number(&self) -> BackendErrorKind {
        if self.backend.leases().is_some() { BackendErrorKind::Over } else { BackendErrorKind::Invalid }
    }

    async fn read(&self, key: &EntryKey) -> Entry {
        let mut entries = self.backend.read_entries(vec![key.clone()]).await.expect("a read");
        assert_eq!(entries.len(), 1, "one entry per key");
        entries.remove(0)
    }

    /// Writes the next revision of a key, a second after the one before, the stored one kept or not.
    async fn write_next(&mut self, key: &EntryKey, entry: &Entry, value: Option<Value>, previous: Previous) -> Entry {
        let next = next(entry, value);
        let row = BatchRow { previous, ..row(key, entry.revision, &next) };
        assert_eq!(self.commit(vec![row]).await, [RowOutcome::Committed]);
        next
    }

    /// Revisions of the versions that are kept, past the seam.
    fn kept_revisions(&self, key: &EntryKey) -> Vec<u64> {
        self.inspect.versions(key).iter().map(|version| version.revision).collect()
    }

    /// Writes a value as the first revision of a new key.
    async fn write_new(&mut self, key: &EntryKey, json: &str) -> Entry {
        let entry = first(json);
        assert_eq!(self.commit(vec![row(key, 0, &entry)]).await, [RowOutcome::Committed]);
        entry
    }
}

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subject").field("backend", &self.backend).finish_non_exhaustive()
    }
}

/// Acquires the keys that have no fence yet.
async fn own(
    leases: &dyn HoldLeases,
    by: Incarnation,
    (fences, drawn): (&mut HashMap<EntryKey, Fence>, &mut u64),
    rows: &[BatchRow],
) {
    leases.join(by).await.expect("joins");
    let mut requests = Vec::new();
    for row in rows {
        if !fences.contains_key(&row.key) {
            *drawn += 1;
            let fence = Fence(*drawn);
            fences.insert(row.key.clone(), fence);
            requests.push(LeaseAsk::new(row.key.clone(), fence));
        }
    }
    let answers = leases.acquire(by, requests).await.expect("an acquisition");
    assert!(
        answers.iter().all(|answer| matches!(answer, LeaseAnswer::Granted(_))),
        "nobody else is there: {answers:?}"
    );
}

/// Runs one test to its end.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime for the test").block_on(test);
}

fn store(name: &str, scope: &str) -> Arc<StoreId> {
    store_of(GameId::Number(1), StoreKind::Standard, name, scope)
}

fn store_of(game: GameId, kind: StoreKind, name: &str, scope: &str) -> Arc<StoreId> {
    Arc::new(StoreId::new(game, kind, name.as_bytes(), scope.as_bytes()).expect("a legal store"))
}

fn key_in(store: &Arc<StoreId>, key: &str) -> EntryKey {
    EntryKey::new(store, key.as_bytes()).expect("a legal key")
}

fn key(name: &str) -> EntryKey {
    key_in(&store("Coins", "global"), name)
}

fn json(text: &str) -> Option<Value> {
    Some(Value::new(text.to_owned()).expect("a short value"))
}

/// So many milliseconds after the epoch.
fn at(ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

/// A first revision.
fn first(text: &str) -> Entry {
    Entry::default().successor(json(text), Attributes::default(), Timestamp::from_unix_ms(1_000))
}

/// The revision after `entry`, a second later.
fn next(entry: &Entry, value: Option<Value>) -> Entry {
    entry.successor(value, Attributes::default(), Timestamp::from_unix_ms(entry.updated.unix_ms() + 1_000))
}

fn row(key: &EntryKey, base: u64, entry: &Entry) -> BatchRow {
    BatchRow {
        key: key.clone(),
        fence: Fence::default(),
        base,
        previous: Previous::Overwritten,
        kept: Vec::new(),
        entry: Arc::new(entry.clone()),
        onto: None,
    }
}

/// Makes one `#[test]` of every case of leases. Takes an expression that gives a [`leases::Shared`] over an empty store.
#[macro_export]
macro_rules! lease_conformance {
    ($make:expr) => {
        $crate::backend_conformance! { @cases $make;
            leases: a_fresh_key_is_granted_empty, the_same_fence_again_is_granted_again,
                another_fence_of_its_owner_takes_its_place, a_held_key_names_its_owner,
                a_wanted_key_shows_in_the_commit_and_in_the_beat, a_released_key_is_granted_with_what_is_stored,
                a_late_release_leaves_the_key_alone,
                acquired_keys_are_not_listed, death_frees_all_keys,
                death_is_declared_only_of_those_who_stood_still, the_dead_stay_dead, leaving_frees_all_keys,
                rows_of_a_zombie_are_fenced, a_batch_of_the_dead_is_answered_again, a_lane_that_never_was_is_over,
                numbers_out_of_order_are_over, lanes_count_for_themselves, beats_tell_of_the_others,
                beats_tell_how_far_lanes_have_come,
                a_thousand_fresh_keys_have_one_owner_each;
            hand_over: a_release_tells_who_asked, wanted_keys_are_listed_for_their_owner,
                a_held_key_is_taken_over_by_its_fence_only, a_taken_key_fences_its_last_owner,
                a_shared_key_is_written_by_all_under_one_fence, a_shared_key_is_owned_again_by_its_fence_only,
                a_late_release_does_not_share, a_key_that_was_never_written_is_shared_too,
                a_deleted_game_has_no_shared_keys, the_connected_do_not_die_fast, locks_are_listed, hints_reach_those_who_hear_them;
            sums: sums_of_all_servers_are_added, a_sum_brings_its_attributes, a_sum_that_is_sent_again_is_answered_again,
                a_sum_that_does_not_fit_is_fenced_and_its_neighbours_commit, nothing_is_added_to_an_owned_key,
                a_sum_that_would_end_an_hour_or_a_snapshot_is_fenced,
                states_of_a_shared_key_are_written_on_what_is_stored_only, a_number_that_is_added_to_moves,
                a_sum_is_the_first_state_of_a_shared_key;
            shared_games: free_tombstones_expire, owned_tombstones_do_not_expire, tombstones_expire_in_steps,
                removed_numbers_expire_at_once, a_game_in_use_is_not_deleted, keys_of_a_deleted_game_are_not_granted;
        }
    };
}

/// Makes one `#[test]` of every case. Takes an expression that gives a [`Subject`] over a fresh, empty backend.
#[macro_export]
macro_rules! backend_conformance {
    ($make:expr) => {
        $crate::backend_conformance! { @cases $make;
            entries: unknown_keys_are_empty, values_come_back_to_the_byte, the_largest_value_fits,
                attributes_come_back, tombstones_come_back, games_kinds_stores_and_scopes_are_apart,
                many_keys_in_their_order;
            commits: an_empty_batch_commits, a_full_batch_commits, stores_made_in_one_batch, revisions_may_skip,
                revisions_that_do_not_grow_are_invalid, a_refused_batch_leaves_nothing;
            fencing: a_moved_base_is_fenced_and_its_neighbours_commit, a_first_write_of_an_existing_key_is_fenced,
                a_base_that_was_never_stored_is_fenced, a_tombstone_is_a_base, a_fenced_row_leaves_no_versions;
            versions: nothing_is_kept_unasked, the_previous_revision_is_kept, revisions_of_one_batch_are_kept_in_order,
                a_removed_value_is_kept, a_kept_tombstone_has_no_value;
            replay: the_same_batch_again_gives_the_first_answer, other_rows_under_a_used_number_are_refused,
                a_refused_number_can_be_used, the_answer_survives_later_reads;
            listing: nothing_is_listed_when_empty, stores_are_listed_with_their_scopes_in_order,
                keys_are_listed_in_byte_order, keys_are_listed_in_pages, removed_keys_are_listed_as_such,
                keys_of_other_stores_are_not_listed, keys_are_listed_over_all_scopes,
                bounds_of_a_range_are_not_included, old_tombstones_are_not_listed;
            stores: game_stores_are_listed_by_name, game_stores_are_listed_between_bounds,
                an_empty_store_is_not_listed, a_store_tells_when_it_was_written;
            version_lists: a_version_is_read_whether_stored_or_kept, an_id_that_differs_in_one_part_names_no_version,
                an_unknown_key_has_no_versions,
                versions_are_listed_in_both_directions, versions_are_listed_in_pages, versions_are_listed_in_pages_within_bounds,
                versions_are_listed_by_the_time_of_their_writing, versions_of_other_keys_are_not_listed;
            version_times: the_version_of_a_time_is_read, a_time_whose_version_was_not_kept_has_none,
                times_of_other_keys_are_theirs, versions_are_kept_to_the_tick, tombstones_are_kept_to_the_tick;
            history: versions_expire_to_the_tick, versions_expire_in_steps, some_stores_keep_versions_for_shorter,
                a_tombstone_in_use_outlives_its_expiry, live_entries_do_not_expire, a_version_is_removed_for_good,
                an_id_that_names_no_version_removes_none, an_erased_revision_is_not_kept;
            snapshots: a_snapshot_keeps_what_the_next_write_supersedes, a_snapshot_is_taken_once_a_day,
                the_next_snapshot_keeps_again, writes_of_the_moment_count_as_before, erased_is_erased_in_a_snapshot_too,
                other_games_and_ordered_stores_are_not_in_a_snapshot, each_game_of_a_batch_has_its_own_snapshot,
                a_kept_revision_is_kept_once_in_a_snapshot, a_fenced_row_of_a_snapshot_keeps_nothing;
            games: a_deleted_game_is_marked_and_restored, an_unknown_game_is_not_deleted,
                a_game_that_is_not_deleted_is_not_purged, a_purge_leaves_nothing, a_purge_goes_in_steps,
                a_purge_leaves_other_games_alone, a_purged_game_is_used_anew;
            sorted: numbers_are_sorted_in_both_directions, numbers_of_one_value_are_sorted_by_key,
                numbers_are_sorted_in_pages, bounds_are_inclusive, numbers_are_exact_over_int64,
                only_live_numbers_of_the_store_are_sorted, a_changed_number_moves;
        }
    };
    (@cases $make:expr; $($module:ident: $($case:ident),+;)+) => {
        $($(
            #[test]
            fn $case() {
                $crate::conformance::run($crate::conformance::$module::$case($make));
            }
        )+)+
    };
}
