//! Who takes what is notified to this process.
//!
//! Owns: the channels that are heard, each with its taker. Does not own: hearing (`link`, `messages`), what a payload means.

use std::sync::{Mutex, MutexGuard, PoisonError};

use clawstore_core::backend::PayloadSink;

struct Ear {
    number: u64,
    channel: String,
    sink: PayloadSink,
}

#[derive(Default)]
struct Places {
    next: u64,
    ears: Vec<Ear>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Ears(Mutex<Places>);

/// The place of one taker, until it is dropped.
pub(crate) struct Place<'a> {
    ears: &'a Ears,
    number: u64,
}

impl Ears {
    /// From now on `sink` takes what is notified on a channel.
    pub(crate) fn add(&self, channel: String, sink: PayloadSink) -> Place<'_> {
        let mut places = self.lock();
        places.next += 1;
        let number = places.next;
        places.ears.push(Ear { number, channel, sink });
        Place { ears: self, number }
    }

    /// All channels that are to be heard.
    pub(crate) fn channels(&self) -> Vec<String> {
        self.lock().ears.iter().map(|ear| ear.channel.clone()).collect()
    }

    /// Hands a payload to whoever hears the channel. A sink must not come back here.
    pub(crate) fn take(&self, channel: &str, payload: &str) {
        for ear in self.lock().ears.iter().filter(|ear| ear.channel == channel) {
            (ear.sink)(payload);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.ears.lock().ears.retain(|ear| ear.number != self.number);
    }
}
