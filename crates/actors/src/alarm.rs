//! When something is to be looked at again, with timers that cannot be taken back.
//!
//! Owns: which timer counts. One that an earlier one has overtaken rings once and sets none, or their number would only ever
//! grow. Does not own: the timers.

use clawstore_core::clock::Moment;

#[derive(Debug, Default)]
pub(crate) struct Alarm {
    set_for: Option<Moment>,
}

impl Alarm {
    /// True if a timer must be started for then: none rings earlier.
    pub(crate) fn set(&mut self, at: Moment) -> bool {
        let is_earliest = self.set_for.is_none_or(|set| at < set);
        if is_earliest {
            self.set_for = Some(at);
        }
        is_earliest
    }

    /// The timer that was started for then has rung.
    pub(crate) fn rang(&mut self, at: Moment) {
        if self.set_for == Some(at) {
            self.set_for = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// As the session lock uses it: each ring looks five seconds ahead, then hears of something sooner.
    #[test]
    fn timers_that_are_overtaken_do_not_add_up() {
        let (mut alarm, mut timers) = (Alarm::default(), vec![Moment::default()]);
        alarm.set(Moment::default());
        for _ in 0..1_000 {
            timers.sort_unstable();
            let now = timers.remove(0);
            alarm.rang(now);
            for ahead in [5_000, 1_000] {
                let at = now + Duration::from_millis(ahead);
                if alarm.set(at) {
                    timers.push(at);
                }
            }
            // One is overtaken every second and rings five seconds later.
            assert!(timers.len() <= 12, "{} timers after {:?}", timers.len(), now.since(Moment::default()));
        }
    }
}
