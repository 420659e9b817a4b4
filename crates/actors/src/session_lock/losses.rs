//! Another copy of the store has taken over, or an old one is back: seen in the answers to beats.
//!
//! Owns: asking about the lanes with each beat, telling people and the program of what was lost, dropping what was read. Does not
//! own: the rule (`core::lost_history`), what was acknowledged (told by the lane).

use std::sync::Weak;
use std::sync::atomic::Ordering;

use clawstore_core::backend::{Beat, BeatAnswer};
use clawstore_core::clock::Moment;
use clawstore_core::lease::LeaseEffect;
use clawstore_core::lost_history::Verdict;
use metrics::counter;

use super::{Answer, SessionLockActor, SessionState};
use crate::metric_definitions::{HISTORY_LOST_TOTAL, TRACE_LEASES};
use crate::slot::Activation;

impl SessionLockActor {
    /// With the lanes of which something was acknowledged since the last beat.
    pub(super) fn with_lanes(&self, beat: Beat) -> Beat {
        Beat { lanes: self.standing.acknowledged.lock().open(), ..beat }
    }

    /// The answer to a beat. Nothing else in it counts before it is known whether it comes from a store that has everything.
    pub(super) fn beaten(
        &self,
        state: &mut SessionState,
        (now, sent): (Moment, Moment),
        beat: &Beat,
        answer: Answer<BeatAnswer>,
    ) -> Vec<LeaseEffect> {
        let verdict = match &answer {
            Ok(answer) => self.standing.acknowledged.lock().answered(&beat.lanes, answer),
            Err(_) => Verdict::Same,
        };
        match verdict {
            Verdict::Same => return state.leases.beaten(now, sent, beat, answer),
            Verdict::AskAgain => {
                state.leases.beat_again(now);
                return Vec::new();
            }
            Verdict::TakenOver => {
                tracing::info!(target: TRACE_LEASES, "another copy of the database has taken over, with all that it had to have");
            }
            Verdict::Lost(batches) => {
                self.standing.losses.fetch_add(1, Ordering::AcqRel);
                counter!(HISTORY_LOST_TOTAL).increment(1);
                tracing::error!(
                    target: TRACE_LEASES, batches,
                    "history was lost: the database does not have writes that it had acknowledged to this process"
                );
            }
        }
        drop_values(state);
        state.leases.start_over(now, beat.incarnation)
    }
}

/// What was read may never have been, as far as the store knows. What is active is dropped with its lease.
fn drop_values(state: &SessionState) {
    for game in state.games.values().filter_map(Weak::upgrade) {
        game.directory.for_each(|slot| {
            let mut slot_state = slot.lock();
            if matches!(slot_state.activation, Activation::Vacant) {
                slot_state.cached_at = None;
            }
        });
    }
}
