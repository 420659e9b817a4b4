//! Every limit of the system, with its unit in its name and its source beside it.
//!
//! Owns: the numbers. Does not own: the checks, which stand where the data enters (`entry_key`, `ops`, `write_batch`).

use std::time::Duration;

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

/// A call is answered within this time (`decisions.md` 23).
pub const CALL_DEADLINE: Duration = Duration::from_secs(30);
/// CPU time that one transform of `UpdateAsync` may use (`decisions.md` 23).
pub const TRANSFORM_CPU: Duration = Duration::from_secs(1);
/// A key without calls for this long leaves memory (`decisions.md` 23).
pub const IDLE_BEFORE_PASSIVATION: Duration = Duration::from_secs(60);
/// How long a value read without ownership may be served again (spec §2.9).
pub const READ_CACHE_TTL: Duration = Duration::from_secs(4);

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
/// A key that others want is kept at least this long, so that what waits for it is done in one go
/// (`ownership-protocol.md` §2.2.6): a host that polls 20 times a second still runs an update in it.
pub const HOLD_MIN: Duration = Duration::from_millis(50);
/// After giving a wanted key away, its last owner does not ask for it again for this long (`decisions.md` 26).
pub const COOLING: Duration = Duration::from_millis(150);
/// A lease without an actor is given back after this long without a call (`decisions.md` 13).
pub const IDLE_BEFORE_RELEASE: Duration = Duration::from_secs(600);

const _: () = assert!(TRUST_AFTER_BEAT.as_millis() > 2 * BEAT_EVERY.as_millis(), "one lost beat costs no reads");
const _: () =
    assert!(TRUST_AFTER_BEAT.as_millis() < SUSPECT_AFTER.as_millis(), "no owned value is shown after a death");
const _: () = assert!(VALUE_BYTES_MAX + 64 * 1024 < BATCH_BYTES_MAX, "any legal value fits into a batch");
const _: () = assert!(VALUE_BYTES_MAX + CALL_OVERHEAD_BYTES < PENDING_BYTES_PER_GAME, "any legal call can be admitted");
const _: () = assert!(PENDING_BYTES_PER_GAME <= PENDING_BYTES_PER_PROCESS);
const _: () =
    assert!(TURN_MAX.as_millis() * 10 < CALL_DEADLINE.as_millis(), "a turn never costs others their deadline");
// `decisions.md` 14: no per-key count below 4,096 may be the limit.
const _: () = assert!(PENDING_BYTES_PER_GAME / CALL_OVERHEAD_BYTES > 4_096);
