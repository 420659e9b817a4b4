//! What goes into a key's machine and what comes out of it.
//!
//! Owns: calls, callers, heads and bases, inputs and effects. Does not own: what the machine does with them.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::quality::FixedState;

use crate::backend::{Fence, Previous};
use crate::clock::{Moment, Timestamp};
use crate::entry::Entry;
use crate::entry_key::StoreKind;
use crate::error::CallError;
use crate::ops::{Applied, CallResult, Reply, Request, Update};

/// One Luau VM (or one Rust task) that calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VmId(pub u64);

/// One call: which VM made it, and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Writer {
    /// The VM.
    pub vm: VmId,
    /// The call's number in that VM.
    pub op: u64,
}

/// What an update was computed from. The lineage tells apart two revisions of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Base {
    /// The revision read.
    pub revision: u64,
    /// See [`Head::lineage`].
    pub lineage: u64,
}

/// The newest accepted revision of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The state.
    pub entry: Arc<Entry>,
    /// Who wrote it; `None` if it came from the store.
    pub writer: Option<Writer>,
    /// What it was made of: the machine's run that it began in (a machine begins anew after each recall) and every call since.
    /// Without it, a call that is made again on another state could make a revision of the same number.
    pub lineage: u64,
}

impl Head {
    /// A revision read from the store.
    pub fn stored(entry: Arc<Entry>) -> Self {
        Self::of_run(entry, 0)
    }

    /// A revision read from the store, as a machine's run begins with it.
    pub(super) fn of_run(entry: Arc<Entry>, run: u64) -> Self {
        Self { entry, writer: None, lineage: run }
    }

    /// The revision that a call of `writer` makes of this one.
    pub(super) fn next(&self, entry: Arc<Entry>, writer: Writer) -> Self {
        Self { entry, writer: Some(writer), lineage: FixedState::default().hash_one((self.lineage, writer)) }
    }

    /// What an update that reads this head is based on.
    pub fn base(&self) -> Base {
        Base { revision: self.entry.revision, lineage: self.lineage }
    }

    /// The head after a call of `writer`, as the machine will make it if nothing comes between.
    ///
    /// # Errors
    /// The call's own refusal; the head stays.
    pub fn after(&self, kind: StoreKind, writer: Writer, request: &Request, at: Timestamp) -> Result<Self, CallError> {
        Ok(match request.apply(kind, &self.entry, at)? {
            Applied::Write { entry, .. } => self.next(entry, writer),
            Applied::Reply(_) => self.clone(),
        })
    }
}

/// Where the answer to a call goes.
pub trait Caller {
    /// Nobody will take the answer or run a transform: the VM or task is gone.
    fn is_gone(&self) -> bool;
}

/// One call on its way.
#[derive(Debug)]
pub struct Op<C> {
    /// Who calls.
    pub writer: Writer,
    /// When it was called: the time its revision will carry.
    pub at: Timestamp,
    /// When it must have been answered.
    pub deadline: Moment,
    /// What is called.
    pub request: Request,
    /// Where the answer goes.
    pub caller: C,
}

/// Something accepted, on its way to durability. Kept by the flusher, in order, until it is settled.
#[derive(Debug)]
pub enum Item<C> {
    /// A new revision.
    Write {
        /// The call.
        op: Box<Op<C>>,
        /// The revision it made.
        entry: Arc<Entry>,
        /// The fence under which the key was owned when it was accepted.
        fence: Fence,
        /// Its answer, once durable.
        reply: Reply,
        /// What becomes of the revision before it (`versioning`).
        previous: Previous,
    },
    /// An increment of a shared key: what it makes is known when the store has added it. Never with other items of its key.
    Add {
        /// The call.
        op: Box<Op<C>>,
        /// The fence under which the key is shared.
        fence: Fence,
    },
    /// An answer that shows a revision which is not durable yet (I4).
    Gate {
        /// The call.
        op: Box<Op<C>>,
        /// Its answer, once durable.
        result: CallResult,
    },
}

impl<C> Item<C> {
    /// The call.
    pub fn op(&self) -> &Op<C> {
        match self {
            Self::Write { op, .. } | Self::Add { op, .. } | Self::Gate { op, .. } => op,
        }
    }

    /// The call.
    pub fn op_mut(&mut self) -> &mut Op<C> {
        match self {
            Self::Write { op, .. } | Self::Add { op, .. } | Self::Gate { op, .. } => op,
        }
    }

    /// Does it change what is stored?
    pub fn is_write(&self) -> bool {
        !matches!(self, Self::Gate { .. })
    }

    /// The call, to be made again.
    pub fn into_op(self) -> Box<Op<C>> {
        match self {
            Self::Write { op, .. } | Self::Add { op, .. } | Self::Gate { op, .. } => op,
        }
    }
}

/// A VM's answer to [`Effect::AskRerun`], for one of its updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rerun {
    /// Number of the call in its VM.
    pub op: u64,
    /// The new result and its base; `None` if the transform failed and the call has ended in the VM.
    pub update: Option<Update>,
}

/// Who may write a key beside its machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// Nobody: it is owned.
    #[default]
    Alone,
    /// All servers. Increments travel as sums.
    Sums,
    /// All servers. The last sum did not fit what is stored: increments are made on the state, like all other calls, until one
    /// of this machine's writes is durable.
    States,
}

/// What a machine begins with.
#[derive(Debug, Clone, Default)]
pub struct Owned {
    /// The durable state, read with or after the grant (A2).
    pub entry: Arc<Entry>,
    /// The fence of the grant, or of all who share the key.
    pub fence: Fence,
    /// Who else may write the key.
    pub access: Access,
    /// Counts the machines of the key: numbers of asks and recalls of different ones are told apart by it.
    pub generation: u32,
}

impl Owned {
    /// The machine's first head.
    pub fn head(&self) -> Head {
        Head::of_run(Arc::clone(&self.entry), u64::from(self.generation) << 32)
    }
}

/// What can happen to a key.
#[derive(Debug)]
pub enum Input<C> {
    /// A call.
    Call(Box<Op<C>>),
    /// A VM ran its held updates again, as the ask of this number wanted.
    Rerun(VmId, u64, Vec<Rerun>),
    /// A VM is gone: whatever waits for it ends.
    VmGone(VmId),
    /// This revision is durable. Means nothing for a shared key.
    Persisted(u64),
    /// So many writes to a shared key are durable, of which this is the last.
    Settled(usize, Arc<Entry>),
    /// The revision that the store had of a shared key after [`Effect::Confirm`] of this number; an error if it did not say.
    Confirmed(u64, Result<u64, CallError>),
    /// A write failed; what was accepted after it cannot stand.
    Broken,
    /// The answer to the recall of this number: what the flusher had of the key, in order, and the durable state if
    /// the flusher knows it.
    Recalled(u64, Vec<Box<Op<C>>>, Option<Arc<Entry>>),
    /// Another server waits for the key: give it up as soon as what is in flight has ended.
    HandOver,
    /// The state that is owned here is not the stored one: somebody else owns or wrote the key.
    Lost,
    /// What had been sent to the machine before [`Effect::Leaving`] has arrived.
    Leave,
    /// Time has passed.
    Tick,
    /// The game is closing and no VM may be polled any more: held updates end.
    Closing,
}

/// What the shell must do.
#[derive(Debug)]
pub enum Effect<C> {
    /// Hand to the flusher.
    Submit(Item<C>),
    /// Answer a call.
    Answer(Box<Op<C>>, CallResult),
    /// Ask a VM to run the held call, and its later ones on this key, on the head as it is now. The number tells the answer
    /// to this ask from those to older ones.
    AskRerun(Writer, u64),
    /// Ask the flusher for everything it has of the key. The number tells a late answer from the awaited one.
    Recall(u64),
    /// The machine gives up the key: nothing of it is on its way any more. Send it no more calls, and `Input::Leave` behind
    /// those that were sent.
    Leaving,
    /// The machine is done. The calls that it leaves behind, in order, go before all newer ones to whoever owns the key
    /// next. `lost`: the last state that was known here is not the stored one.
    Left {
        /// In order.
        ops: Vec<Box<Op<C>>>,
        /// See above.
        lost: bool,
    },
    /// Answer a read of a shared key with what the store has now.
    Look(Box<Op<C>>),
    /// Ask the store which revision of a shared key it has, and send `Input::Confirmed` with this number.
    Confirm(u64),
    /// Send `Input::Tick` then.
    WakeAt(Moment),
}
