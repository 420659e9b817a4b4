//! Which superseded revisions are kept as versions.
//!
//! Owns: the retention rule (spec §2.7; `decisions.md` 10), for the flush to follow. Does not own: where versions are
//! stored, when they expire, or the calls that read them.

use crate::entry::Entry;
use crate::entry_key::StoreKind;

/// How a store keeps history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retention {
    /// Roblox's rule: the first write of each UTC clock hour keeps what it supersedes.
    #[default]
    Hourly,
    /// Every superseded revision is kept.
    EveryWrite,
}

impl Retention {
    /// Must `old` be kept now that `new` supersedes it? Ordered stores have no versions (spec §3.4).
    pub fn keeps(self, kind: StoreKind, old: &Entry, new: &Entry) -> bool {
        if old.revision == 0 || kind == StoreKind::Ordered {
            return false;
        }
        match self {
            Self::EveryWrite => true,
            // A tombstone always keeps the version it removes (spec §2.6).
            Self::Hourly => new.value.is_none() || old.updated.hour() < new.updated.hour(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::value::Value;

    fn entry(revision: u64, minute: u64, value: Option<i64>) -> Entry {
        let updated = Timestamp::from_unix_ms(minute * 60_000);
        Entry { revision, updated, value: value.map(Value::integer), ..Entry::default() }
    }

    #[test]
    fn first_write_of_an_hour_keeps_what_it_supersedes() {
        let keeps = |old: &Entry, new: &Entry| Retention::Hourly.keeps(StoreKind::Standard, old, new);
        assert!(keeps(&entry(1, 59, Some(1)), &entry(2, 60, Some(2))));
        assert!(!keeps(&entry(2, 60, Some(1)), &entry(3, 119, Some(2))));
        assert!(keeps(&entry(2, 60, Some(1)), &entry(3, 61, None)), "a removal keeps what it removes");
        assert!(!keeps(&Entry::default(), &entry(1, 61, Some(1))), "there is nothing before the first write");
        let every = |kind| Retention::EveryWrite.keeps(kind, &entry(2, 60, Some(1)), &entry(3, 60, Some(2)));
        assert!(every(StoreKind::Standard) && !every(StoreKind::Ordered));
    }
}
