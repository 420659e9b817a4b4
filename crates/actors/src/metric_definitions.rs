//! Every metric name, label and trace point.
//!
//! Owns: the names (they are API for dashboards) and their descriptions. Does not own: an exporter; without one,
//! recording costs a few nanoseconds.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Calls by their end; label `outcome` = `ok` | `fail` | `unknown`.
pub const CALLS_TOTAL: &str = "clawstore_calls_total";
/// Requests admitted, by Roblox's request type; label `type`. An update counts as a read and a write.
pub const REQUESTS_TOTAL: &str = "clawstore_requests_total";
/// Calls refused before they were queued; label `reason` = `memory` | `closing` | `halted` | `invalid` | `unavailable`
/// (a key that is quarantined).
pub const REFUSED_TOTAL: &str = "clawstore_calls_refused_total";
/// Rows per committed batch.
pub const BATCH_ROWS: &str = "clawstore_batch_rows";
/// Seconds from sending a batch to its answer.
pub const COMMIT_SECONDS: &str = "clawstore_commit_seconds";
/// Seconds from a write's call to its durable answer.
pub const DURABLE_SECONDS: &str = "clawstore_durable_seconds";
/// Batches that did not commit; label `kind` = backend error kind.
pub const BATCH_FAILURES_TOTAL: &str = "clawstore_batch_failures_total";
/// Keys that got an actor.
pub const ACTIVATIONS_TOTAL: &str = "clawstore_activations_total";
/// Keys whose actor left memory.
pub const PASSIVATIONS_TOTAL: &str = "clawstore_passivations_total";
/// Updates that lost a race and ran again.
pub const RERUNS_TOTAL: &str = "clawstore_update_reruns_total";
/// Panics inside a key's step.
pub const KEY_PANICS_TOTAL: &str = "clawstore_key_panics_total";
/// Keys set aside after repeated panics.
pub const QUARANTINES_TOTAL: &str = "clawstore_quarantines_total";
/// Leases that were granted.
pub const ACQUISITIONS_TOTAL: &str = "clawstore_acquisitions_total";
/// Seconds from first asking the store for a key until it was granted.
pub const ACQUIRE_SECONDS: &str = "clawstore_acquire_seconds";
/// Keys that are shared from then on, because several servers write them.
pub const SHARED_KEYS_TOTAL: &str = "clawstore_shared_keys_total";
/// Keys that were given to another server that waited for them.
pub const HAND_OVERS_TOTAL: &str = "clawstore_hand_overs_total";
/// Incarnations of this process: more than one means that it was taken for dead, or that another copy of the database took over.
pub const INCARNATIONS_TOTAL: &str = "clawstore_incarnations_total";
/// Times that the database was found to lack writes that it had acknowledged to this process: an asynchronous standby took over, or
/// an old copy is back.
pub const HISTORY_LOST_TOTAL: &str = "ds_history_lost_total";
/// Rows that were refused because another server owns or wrote the key.
pub const FENCED_ROWS_TOTAL: &str = "clawstore_fenced_rows_total";
/// Messages that servers of this process have published.
pub const MESSAGES_PUBLISHED_TOTAL: &str = "clawstore_messages_published_total";
/// Messages handed to servers of this process, counted for each.
pub const MESSAGES_DELIVERED_TOTAL: &str = "clawstore_messages_delivered_total";
/// Messages that did not arrive; label `reason` = `queue` (too many wait to be sent) | `carrier` (they could not be sent) |
/// `inbox` (a server does not look) | `rate` (Roblox's rates hold) | `payload` (somebody else's, or of another version).
pub const MESSAGES_LOST_TOTAL: &str = "clawstore_messages_lost_total";
/// Keys with an actor, of all games.
pub const ACTIVE_KEYS: &str = "clawstore_active_keys";
/// Bytes of calls admitted and not settled, of the process.
pub const PENDING_BYTES: &str = "clawstore_pending_bytes";

/// Trace target of everything that concerns one call's way.
pub const TRACE_CALLS: &str = "clawstore::calls";
/// Trace target of batches and their fate.
pub const TRACE_BATCHES: &str = "clawstore::batches";
/// Trace target of leases, beats and deaths.
pub const TRACE_LEASES: &str = "clawstore::leases";
/// Trace target of messages between servers.
pub const TRACE_MESSAGES: &str = "clawstore::messages";
/// Trace target of activation, passivation, panics and quarantine.
pub const TRACE_KEYS: &str = "clawstore::keys";
/// Trace target of housekeeping: history that ends, games that are deleted.
pub const TRACE_STORE: &str = "clawstore::store";

/// Tells the installed recorder what the names mean. Call once, after installing it.
pub fn describe() {
    describe_counter!(CALLS_TOTAL, "Calls by outcome: ok, fail (not applied), unknown (may be applied)");
    describe_counter!(REQUESTS_TOTAL, "Requests admitted, by request type");
    describe_counter!(REFUSED_TOTAL, "Calls refused before they were queued, by reason");
    describe_histogram!(BATCH_ROWS, Unit::Count, "Rows per committed batch");
    describe_histogram!(COMMIT_SECONDS, Unit::Seconds, "Time from sending a batch to its answer");
    describe_histogram!(DURABLE_SECONDS, Unit::Seconds, "Time from a write's call to its durable answer");
    describe_counter!(BATCH_FAILURES_TOTAL, "Batches that did not commit, by backend error kind");
    describe_counter!(ACTIVATIONS_TOTAL, "Keys that got an actor");
    describe_counter!(PASSIVATIONS_TOTAL, "Keys whose actor left memory");
    describe_counter!(RERUNS_TOTAL, "Updates that lost a race and ran again");
    describe_counter!(KEY_PANICS_TOTAL, "Panics inside a key's step");
    describe_counter!(QUARANTINES_TOTAL, "Keys set aside after repeated panics");
    describe_counter!(ACQUISITIONS_TOTAL, "Leases granted");
    describe_histogram!(ACQUIRE_SECONDS, Unit::Seconds, "Time from asking for a key until it was granted");
    describe_counter!(SHARED_KEYS_TOTAL, "Keys shared because several servers write them");
    describe_counter!(HAND_OVERS_TOTAL, "Keys given to another server that waited for them");
    describe_counter!(INCARNATIONS_TOTAL, "Incarnations of this process");
    describe_counter!(HISTORY_LOST_TOTAL, "Times that the database was found to lack acknowledged writes");
    describe_counter!(FENCED_ROWS_TOTAL, "Rows refused because another server owns or wrote the key");
    describe_counter!(MESSAGES_PUBLISHED_TOTAL, "Messages published by servers of this process");
    describe_counter!(MESSAGES_DELIVERED_TOTAL, "Messages handed to servers of this process");
    describe_counter!(MESSAGES_LOST_TOTAL, "Messages that did not arrive, by reason");
    describe_gauge!(ACTIVE_KEYS, Unit::Count, "Keys with an actor");
    describe_gauge!(PENDING_BYTES, Unit::Bytes, "Bytes of calls admitted and not settled");
}
