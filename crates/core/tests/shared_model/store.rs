//! The store of the model: one key, who may write it, and the last batch of every lane.

use std::collections::BTreeMap;
use std::sync::Arc;

use clawstore_core::backend::{BackendError, BackendErrorKind, Batch, BatchRow, Fence, LaneId, Number, RowOutcome};
use clawstore_core::entry::Entry;
use clawstore_core::{StoreKind, Value};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    None,
    Unavailable,
    /// The store cannot take the batch.
    Invalid,
    LostReply,
    LostRequest,
    /// The store no longer knows the lane.
    LaneGone,
    /// A version is to be kept: no sum fits until a state has been written.
    SumsRefused,
    /// The number is written in a way that nothing is added to.
    Reworded,
}

#[derive(Default)]
pub(crate) struct Store {
    pub(crate) entry: Arc<Entry>,
    pub(crate) fence: u64,
    /// Which server has the key alone; `None`: it is shared.
    pub(crate) owner: Option<usize>,
    /// The newest batch of each lane.
    lanes: BTreeMap<LaneId, (u64, u64, Vec<RowOutcome>)>,
    pub(crate) forgets_lanes: bool,
    refuses_sums: bool,
    pub(crate) sums: usize,
    pub(crate) states: usize,
}

pub(crate) fn error(kind: BackendErrorKind) -> BackendError {
    BackendError::new(kind, format!("{kind:?}"))
}

impl Store {
    pub(crate) fn new(entry: Arc<Entry>) -> Self {
        Self { entry, fence: 1, ..Self::default() }
    }

    pub(crate) fn finish(&mut self, batch: &Batch, fault: Fault) -> Result<Vec<RowOutcome>, BackendError> {
        match fault {
            Fault::Unavailable => Err(error(BackendErrorKind::Unavailable)),
            Fault::LaneGone => Err(error(BackendErrorKind::Over)),
            Fault::LostRequest => Err(error(BackendErrorKind::Unknown)),
            Fault::LostReply => {
                let _ = self.commit(batch, Fault::None);
                Err(error(BackendErrorKind::Unknown))
            }
            Fault::Reworded => {
                self.reword();
                self.commit(batch, Fault::None)
            }
            Fault::Invalid | Fault::SumsRefused | Fault::None => self.commit(batch, fault),
        }
    }

    fn reword(&mut self) {
        let Some(number) = Number::of(&self.entry) else { return };
        let entry = Entry {
            revision: self.entry.revision + 1,
            value: Value::new(format!("{}.0", number.number)).ok(),
            ..Entry::clone(&self.entry)
        };
        self.entry = Arc::new(entry);
    }

    fn commit(&mut self, batch: &Batch, fault: Fault) -> Result<Vec<RowOutcome>, BackendError> {
        if let Some((seq, digest, outcomes)) = self.lanes.get(&batch.lane).filter(|_| !self.forgets_lanes) {
            if *seq == batch.seq {
                assert_eq!(*digest, batch.digest, "I7: equal numbers, equal content");
                return Ok(outcomes.clone());
            }
            assert_eq!(*seq + 1, batch.seq, "I7: numbers grow by one");
        }
        if matches!(fault, Fault::Invalid) {
            return Err(error(BackendErrorKind::Invalid));
        }
        self.refuses_sums |= matches!(fault, Fault::SumsRefused);
        let outcomes: Vec<_> = batch.rows.iter().map(|row| self.write(row)).collect();
        self.lanes.insert(batch.lane, (batch.seq, batch.digest, outcomes.clone()));
        Ok(outcomes)
    }

    fn write(&mut self, row: &BatchRow) -> RowOutcome {
        assert_eq!(row.key.store.kind, StoreKind::Ordered);
        if row.fence != Fence(self.fence) {
            return RowOutcome::Fenced;
        }
        if let Some(onto) = row.onto.as_ref().filter(|_| self.entry.revision > 0) {
            let number = Number::of(&self.entry).filter(|_| !self.refuses_sums && self.owner.is_none());
            let Some((number, entry)) = number.and_then(|number| Some((number, number.plus(&row.entry, onto)?))) else {
                return RowOutcome::Fenced;
            };
            self.sums += 1;
            self.replace(Arc::new(entry));
            return RowOutcome::Added(number);
        }
        if row.base != self.entry.revision {
            return RowOutcome::Fenced;
        }
        self.states += 1;
        self.refuses_sums = false;
        self.replace(Arc::clone(&row.entry));
        RowOutcome::Committed
    }

    fn replace(&mut self, entry: Arc<Entry>) {
        assert!(entry.revision > self.entry.revision, "I5");
        self.entry = entry;
    }
}
