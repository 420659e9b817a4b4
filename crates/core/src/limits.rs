//! Every limit of the system, with its unit in its name and its source beside it.
//!
//! Owns: the numbers. Does not own: the checks, which stand where the data enters (`entry_key`, `ops`, `write_batch`).

use std::time::Duration;

/// Which rates and quotas hold (`decisions.md` 22). Sizes of names, keys and values hold always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Limits {
    /// None.
    Off,
    /// No fixed rates: each game has its share while there is not enough for all.
    #[default]
    Fair,
    /// Those that Roblox documents as of August 2026 (spec §6, §7).
    Roblox,
    /// A number of requests a minute of each key and of each game, and Roblox's quotas of memory stores and messages.
    RobloxClassic,
}

impl Limits {
    /// The names of all profiles, for messages.
    pub const NAMES: &str = "`off`, `fair`, `roblox` (or `roblox-2026-08`) or `roblox-classic`";

    /// The profile of this name in settings.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "off" => Self::Off,
            "fair" => Self::Fair,
            "roblox" | "roblox-2026-08" => Self::Roblox,
            "roblox-classic" => Self::RobloxClassic,
            _ => return None,
        })
    }

    /// Are there fixed rates and quotas?
    pub const fn are_fixed(self) -> bool {
        matches!(self, Self::Roblox | Self::RobloxClassic)
    }
}

/// Longest store name, scope or key (spec §6.1; counted in bytes, spec §1.1).
pub const NAME_BYTES_MAX: usize = 50;
/// Longest serialized value (spec §6.1).
pub const VALUE_BYTES_MAX: usize = 4_194_304;
/// Deepest nesting of tables in a value (`decisions.md` 20).
pub const VALUE_DEPTH_MAX: usize = 64;
/// Most user ids tagged on one entry (spec §6.1).
pub const USER_IDS_MAX: usize = 4;
/// Longest serialized metadata of one entry (spec §6.1).
pub const METADATA_BYTES_MAX: usize = 300;
/// Largest magnitude of an integer that a double holds exactly; increments stay inside (`decisions.md` 19).
pub const INTEGER_MAX: i64 = 1 << 53;

/// Items of one page of `GetSortedAsync`, at most and by default (spec §3.2).
pub const SORTED_PAGE_MAX: usize = 100;
/// See [`SORTED_PAGE_MAX`].
pub const SORTED_PAGE_DEFAULT: usize = 50;
/// Items of one page of `ListVersionsAsync`, at most and by default (spec §2.10).
pub const VERSIONS_PAGE_MAX: usize = 1_024;
/// Items of one page of `ListKeysAsync`, at most (Open Cloud's cap, spec §2.10).
pub const KEYS_PAGE_MAX: usize = 256;
/// Items of one page of `ListKeysAsync` by default (spec §2.10).
pub const KEYS_PAGE_DEFAULT: usize = 50;
/// Keys that one page of `ListKeysAsync` looks at, at most, if removed ones are left out (spec §2.10).
pub const KEYS_EXAMINED_MAX: usize = 512;
/// Items of one page of `ListDataStoresAsync`, at most: as of keys.
pub const STORES_PAGE_MAX: usize = 256;
/// Items of one page of `ListDataStoresAsync` by default (spec §2.10).
pub const STORES_PAGE_DEFAULT: usize = 32;
/// Keys of one `BatchGetAsync`, at most (spec §3.3).
pub const BATCH_GET_KEYS_MAX: usize = 100;

/// Days for which superseded versions and tombstones are kept, at most and by default (spec §2.7).
pub const HISTORY_DAYS_MAX: u16 = 30;
/// Rows deleted in one step of expiry, so that no step is noticed (`decisions.md` 11).
pub const SWEEP_ROWS: usize = 1_000;
/// How often history that is not kept any more is looked for.
pub const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// What was written this long after a snapshot still counts as written before it: clocks of servers differ.
pub const SNAPSHOT_SKEW: Duration = Duration::from_secs(5);
/// How far ahead of the clock `GetVersionAtTimeAsync` may ask (spec §2.1).
pub const VERSION_TIME_AHEAD: Duration = Duration::from_secs(600);
/// A game that is deleted can be restored for at least this many days.
pub const GAME_RESTORE_DAYS: u16 = 30;

/// Most rows of one batch, kept versions counted (`decisions.md` 5).
pub const BATCH_ROWS_MAX: usize = 1_024;
/// Most rows of a batch of a game that floods while others save too: small enough that its answers come in small bursts, large
/// enough that a batch costs little more a row than a full one (`docs/PERFORMANCE.md`).
pub const BATCH_ROWS_BESIDE_OTHERS: usize = 128;
/// Most bytes of one batch; one row above it goes alone (`decisions.md` 5).
pub const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes charged for any admitted call beside those of its value: request, reply port and queue places.
pub const CALL_OVERHEAD_BYTES: usize = 512;
/// Bytes of calls that one game may have admitted and not settled, by default (`decisions.md` 23).
pub const PENDING_BYTES_PER_GAME: usize = 64 * 1024 * 1024;
/// The same for the whole process (`decisions.md` 23).
pub const PENDING_BYTES_PER_PROCESS: usize = 512 * 1024 * 1024;
/// Resident bytes of active and cached keys, by default (`decisions.md` 23).
pub const CACHE_BYTES: usize = 256 * 1024 * 1024;
/// Resident bytes of an active key beside its value: actor, mailboxes, slot and machine (measured; see
/// `docs/PERFORMANCE.md`).
pub const ACTIVE_KEY_BYTES: usize = 8 * 1024;
/// Resident bytes of a cached key without an actor, beside its value.
pub const CACHED_KEY_BYTES: usize = 400;

/// Longest topic of a message, in characters (spec §7.2).
pub const TOPIC_CHARS_MAX: usize = 80;
/// Longest message, in characters of its JSON (spec §7.2).
pub const MESSAGE_CHARS_MAX: usize = 1_024;
/// Messages that wait for the carrier, per process; beyond, they are lost to other processes. At most 18 MB.
pub const MESSAGES_QUEUED_MAX: usize = 4_096;
/// Events that may wait for a VM before messages to it are lost: its host has stopped looking.
pub const INBOX_EVENTS_BEFORE_LOSS: usize = 10_000;

/// A call is answered within this time (`decisions.md` 23).
pub const CALL_DEADLINE: Duration = Duration::from_secs(30);
/// CPU time that one transform of `UpdateAsync` may use (`decisions.md` 23).
pub const TRANSFORM_CPU: Duration = Duration::from_secs(1);
/// A key without calls for this long leaves memory (`decisions.md` 23).
pub const IDLE_BEFORE_PASSIVATION: Duration = Duration::from_secs(60);
/// How long a value read without ownership may be served again (spec §2.9).
pub const READ_CACHE_TTL: Duration = Duration::from_secs(4);

/// Requests that one of a server's four queues holds, with fixed rates (spec §6.7).
pub const QUEUED_REQUESTS_MAX: usize = 30;
/// Requests of one server that may wait for their share, with [`Limits::Fair`] (`decisions.md` 14).
pub const QUEUED_FAIRLY_MAX: usize = 4_096;
/// How often a server that has requests in its queues counts its players again.
pub const QUEUE_LOOK_EVERY: Duration = Duration::from_secs(1);
/// Minutes for which unused budget is kept (spec §6.4: as mocks do).
pub const BUDGET_MINUTES: u64 = 3;
/// Seconds' worth of the base limit that a server has at least when it closes (spec §6.4: as mocks do).
pub const BUDGET_AT_CLOSE_SECONDS: u64 = 150;
/// KB that may be read of one key in a minute (spec §6.8: 25 MB).
pub const KEY_READ_KB_PER_MINUTE: u32 = 25 * 1_024;
/// KB that may be written of one key in a minute (spec §6.8: 4 MB).
pub const KEY_WRITE_KB_PER_MINUTE: u32 = 4 * 1_024;
/// Requests a minute of one key, with [`Limits::RobloxClassic`] (`decisions.md` 22).
pub const CLASSIC_KEY_REQUESTS_PER_MINUTE: u32 = 60;
/// Requests a minute of one game, with [`Limits::RobloxClassic`] (`decisions.md` 22).
pub const CLASSIC_GAME_REQUESTS_PER_MINUTE: u32 = 100_000;

/// Lost races after which a VM is offered an exclusive turn on a key (`decisions.md` 8).
pub const RACES_BEFORE_TURN: u32 = 3;
/// Longest exclusive turn of a VM on a key (`decisions.md` 8).
pub const TURN_MAX: Duration = Duration::from_millis(100);

/// Panics of one key within [`PANIC_WINDOW`] that quarantine it.
pub const PANICS_BEFORE_QUARANTINE: usize = 3;
/// See [`PANICS_BEFORE_QUARANTINE`].
pub const PANIC_WINDOW: Duration = Duration::from_secs(10);
/// How long a quarantined key refuses calls.
pub const QUARANTINE: Duration = Duration::from_secs(60);

/// First and last pause between two attempts at a batch whose outcome was bad or not known.
pub const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// A process says this often that it is alive (`ownership-protocol.md` §2.2.2).
pub const BEAT_EVERY: Duration = Duration::from_secs(1);
/// A process whose count of beats stood still for this long, by the clock of one whose own beats all succeeded meanwhile, is
/// declared dead (`ownership-protocol.md` §2.2.3).
pub const SUSPECT_AFTER: Duration = Duration::from_secs(5);
/// The same for a process that has lost its connection to the store as well, as far as that can tell.
pub const SUSPECT_FAST_AFTER: Duration = Duration::from_millis(1_500);
/// One that still had its connection then is looked at again this often.
pub const SUSPECT_FAST_PAUSE: Duration = Duration::from_millis(500);
/// Between two beats that succeeded so far apart a process was not watching: it may have been frozen itself.
pub const WATCH_GAP_MAX: Duration = Duration::from_millis(2_500);
/// An owned value is shown for this long after the sending of the last beat that succeeded (`ownership-protocol.md` A8).
pub const TRUST_AFTER_BEAT: Duration = Duration::from_secs(4);
/// A key that has been wanted for this long and is not handed over yet is read from the store (`decisions.md` 9).
pub const WANTED_BEFORE_READ: Duration = Duration::from_secs(2);
/// Most keys of one acquisition or release.
pub const LEASES_PER_CALL_MAX: usize = 1_000;
/// How often the lease of a key that another holds is asked for: at first, and later (`decisions.md` 26).
pub const ACQUIRE_PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(100));
/// From the first to the later of [`ACQUIRE_PAUSE`].
pub const ACQUIRE_EAGER: Duration = Duration::from_secs(2);
/// A row that was locked at the moment of asking is asked for again after this: a batch takes about as long.
pub const BUSY_PAUSE: Duration = Duration::from_millis(3);
/// A key that others want is kept at least this long, so that what waits for it is done in one go: a server that runs 60
/// times a second runs its updates in it (`ownership-protocol.md` §2.2.6).
pub const HOLD_MIN: Duration = Duration::from_millis(20);
/// A key for which calls wait, and that has not been written since it was granted, is kept for this long: a host that polls 20
/// times a second still runs an update in it.
pub const HOLD_UNSERVED_MAX: Duration = Duration::from_millis(60);
/// After giving a wanted key away, its last owner does not ask for it again for this long (`decisions.md` 26): whoever waits asks
/// more often.
pub const COOLING: Duration = Duration::from_millis(30);
/// An owner that is alive and keeps a wanted key for this long loses it (`ownership-protocol.md` §2.2.6).
pub const STEAL_AFTER: Duration = Duration::from_secs(10);
/// Between two looks at what others want, however many hints arrive.
pub const LIST_PAUSE: Duration = Duration::from_millis(5);
/// A key that a process has given to others this often within [`SHARE_WINDOW`] is shared from then on: each of its turns would cost
/// more than a write of everyone's (`ownership-protocol.md` §2.2.19).
pub const HAND_OVERS_BEFORE_SHARING: usize = 3;
/// See [`HAND_OVERS_BEFORE_SHARING`].
pub const SHARE_WINDOW: Duration = Duration::from_secs(10);
/// A shared key that only one server has written for this long is owned again.
pub const SHARED_QUIET: Duration = Duration::from_secs(60);
/// A call on a shared key that has lost races to other servers for this long is made under a lease, which nobody can take from it
/// for a moment (`docs/adr/0025`).
pub const RACES_PATIENCE: Duration = Duration::from_secs(1);
/// A lease without an actor is given back after this long without a call (`decisions.md` 13).
pub const IDLE_BEFORE_RELEASE: Duration = Duration::from_secs(600);

/// Longest name of a memory store's structure. Not documented; the longest key is the longest name.
pub const MEMORY_NAME_BYTES_MAX: usize = 128;
/// Longest key and sort key of a memory store (spec §7.1; counted in bytes, as everywhere).
pub const MEMORY_KEY_BYTES_MAX: usize = 128;
/// Longest value of a memory store, as JSON (spec §7.1).
pub const MEMORY_VALUE_BYTES_MAX: usize = 32 * 1024;
/// Longest life of an item: 45 days (spec §7.1).
pub const MEMORY_EXPIRATION_SECONDS_MAX: i64 = 3_888_000;
/// Most items of one sorted map, queue or hash map (spec §7.1).
pub const MEMORY_ITEMS_MAX: usize = 1_000_000;
/// Most bytes of one of them, keys included (spec §7.1).
pub const MEMORY_BYTES_MAX: usize = 100 * 1024 * 1024;
/// Most items of one range of a sorted map or page of a hash map (spec §7.1).
pub const MEMORY_RANGE_MAX: usize = 200;
/// Most items of one read of a queue (spec §7.1).
pub const MEMORY_READ_MAX: usize = 100;
/// How long what was read from a queue is hidden, if the script does not say (spec §7.1).
pub const MEMORY_INVISIBLE_SECONDS: i64 = 30;
/// Bytes that a game may keep, with fixed rates: at least, and for each user (spec §7.1: 64 KB and 1.2 KB).
pub const MEMORY_QUOTA_BYTES: (usize, usize) = (64 * 1024, 1_229);
/// A quota shrinks only after its users have been gone for this long (spec §7.1: 8 days).
pub const MEMORY_QUOTA_LOOK_BACK: Duration = Duration::from_secs(8 * 24 * 3_600);
/// Request units a minute, with fixed rates: at least, and for each user (spec §7.1).
pub const MEMORY_UNITS_PER_MINUTE: (u64, u64) = (1_000, 120);
/// Bytes that the memory stores of one game may take in a process, whatever the limits: a ceiling of our own, so that one
/// game cannot take the memory of all.
pub const MEMORY_BYTES_PER_GAME: usize = 512 * 1024 * 1024;
/// What an item takes beside its own bytes, towards [`MEMORY_BYTES_PER_GAME`]: its places in three tables.
pub const MEMORY_ITEM_OVERHEAD_BYTES: usize = 320;
/// Expired items that one call takes out of a structure: more than a call can add, so that they never pile up, and few
/// enough that no call is noticed.
pub const MEMORY_EVICTIONS_PER_CALL: usize = 256;
/// Times that an update of a memory store is tried before it fails as `UpdateConflict`. Not documented; more than there are
/// coroutines that update one item at the same moment in any sane game.
pub const MEMORY_UPDATE_TRIES: u32 = 100;
/// How often a read of a queue that waits looks for items (spec §7.1).
pub const MEMORY_LOOK_EVERY: Duration = Duration::from_secs(2);

const _: () = assert!(MEMORY_BYTES_MAX < MEMORY_BYTES_PER_GAME, "one full structure fits into a game");
const _: () = assert!(TRUST_AFTER_BEAT.as_millis() > 2 * BEAT_EVERY.as_millis(), "one lost beat costs no reads");
const _: () =
    assert!(TRUST_AFTER_BEAT.as_millis() < SUSPECT_AFTER.as_millis(), "no owned value is shown after a slow death");
const _: () = assert!(
    TRUST_AFTER_BEAT.as_millis() - SUSPECT_FAST_AFTER.as_millis() <= READ_CACHE_TTL.as_millis(),
    "an owned value that is shown after a fast death is no older than a cached one may be"
);
const _: () =
    assert!(COOLING.as_millis() > ACQUIRE_PAUSE.0.as_millis(), "whoever waits asks before the last owner does");
const _: () = assert!(VALUE_BYTES_MAX + 64 * 1024 < BATCH_BYTES_MAX, "any legal value fits into a batch");
const _: () = assert!(VALUE_BYTES_MAX + CALL_OVERHEAD_BYTES < PENDING_BYTES_PER_GAME, "any legal call can be admitted");
const _: () = assert!(PENDING_BYTES_PER_GAME <= PENDING_BYTES_PER_PROCESS);
const _: () =
    assert!(TURN_MAX.as_millis() * 10 < CALL_DEADLINE.as_millis(), "a turn never costs others their deadline");
// `decisions.md` 14: no per-key count below 4,096 may be the limit.
const _: () = assert!(PENDING_BYTES_PER_GAME / CALL_OVERHEAD_BYTES > 4_096);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_have_the_names_of_the_settings() {
        let names = ["off", "fair", "roblox", "roblox-2026-08", "roblox-classic", "Roblox", ""];
        let known = [Limits::Off, Limits::Fair, Limits::Roblox, Limits::Roblox, Limits::RobloxClassic].map(Some);
        assert_eq!(names.map(Limits::named)[..5], known);
        assert_eq!(names.map(Limits::named)[5..], [None, None]);
        assert!(names[..5].iter().all(|name| Limits::NAMES.contains(&format!("`{name}`"))));
        assert_eq!(Limits::default(), Limits::Fair);
    }
}
