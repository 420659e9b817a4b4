//! One server of the model: VMs, a machine while it has the key, a flusher, a lane, and message queues between them.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use clawstore_core::backend::{Batch, Incarnation, LaneId};
use clawstore_core::entry::{Attributes, Entry};
use clawstore_core::key_machine::{Access, Caller, Head, Input, Item, KeyMachine, Op};
use clawstore_core::lane::Lane;
use clawstore_core::ops::Set;
use clawstore_core::vm_queue::{Transform, TransformFailed, VmQueue};
use clawstore_core::write_batch::PendingWrites;
use clawstore_core::{CallError, Value};

#[derive(Debug, Clone)]
pub(crate) struct Port;

impl Caller for Port {
    fn is_gone(&self) -> bool {
        false
    }
}

pub(crate) enum ToFlusher {
    Submit(Item<Port>),
    Recall(u64),
}

/// What the transforms of cancelled updates saw, by the number of the call.
pub(crate) type Seen = Rc<RefCell<BTreeMap<u64, Arc<Entry>>>>;

/// Adds a number, or cancels and remembers what it saw.
pub(crate) struct Add(pub(crate) Seen);

impl Transform for Add {
    type Handle = Option<i64>;

    fn run(&mut self, op: u64, delta: &Option<i64>, head: &Head) -> Result<Option<Set>, TransformFailed> {
        let Some(delta) = delta else {
            self.0.borrow_mut().insert(op, Arc::clone(&head.entry));
            return Ok(None);
        };
        let value = Value::integer(number(&head.entry) + delta);
        Ok(Some(Set { value, attributes: Attributes::default() }))
    }
}

/// The number that is stored, however it is written.
pub(crate) fn number(entry: &Entry) -> i64 {
    let text = |value: &Value| String::from_utf8(value.json().to_vec()).expect("ASCII");
    let text = entry.value.as_ref().map_or_else(|| "0".to_owned(), text);
    text.trim_end_matches(".0").parse().expect("a whole number")
}

#[derive(Default)]
pub(crate) struct Vm {
    pub(crate) queue: VmQueue<Option<i64>>,
    pub(crate) asked: VecDeque<(u64, u64, Head)>,
    pub(crate) seen: Seen,
    pub(crate) next_op: u64,
}

pub(crate) struct Server {
    pub(crate) vms: [Vm; 2],
    pub(crate) machine: Option<KeyMachine<Port>>,
    pub(crate) is_shared: bool,
    /// Calls that wait for the key.
    pub(crate) waiting: VecDeque<Input<Port>>,
    /// How the next machine begins.
    pub(crate) access: Access,
    pub(crate) takes_alone: bool,
    pub(crate) gives_away: bool,
    pub(crate) to_machine: VecDeque<Input<Port>>,
    pub(crate) to_flusher: VecDeque<ToFlusher>,
    pub(crate) flusher: PendingWrites<Port>,
    pub(crate) lane: Lane,
    pub(crate) lane_id: LaneId,
    pub(crate) sent: Option<Arc<Batch>>,
    /// Questions to the store that are on their way, and reads.
    pub(crate) questions: VecDeque<u64>,
    pub(crate) looks: VecDeque<Box<Op<Port>>>,
    /// What reads see (the durable cell).
    pub(crate) cell: Arc<Entry>,
    pub(crate) machines: u32,
}

impl Server {
    pub(crate) fn new(number: usize) -> Self {
        let lane_id = LaneId { incarnation: Incarnation(number as u64 + 1), number: 0 };
        Self {
            vms: Default::default(),
            machine: None,
            is_shared: false,
            waiting: VecDeque::new(),
            access: Access::Sums,
            takes_alone: false,
            gives_away: false,
            to_machine: VecDeque::new(),
            to_flusher: VecDeque::new(),
            flusher: PendingWrites::default(),
            lane: Lane::new(lane_id),
            lane_id,
            sent: None,
            questions: VecDeque::new(),
            looks: VecDeque::new(),
            cell: Arc::default(),
            machines: 0,
        }
    }

    pub(crate) fn hand_over(&mut self) {
        if self.machine.is_some() {
            self.to_machine.push_back(Input::HandOver);
        }
    }

    /// The store answers a question, from what it has now.
    pub(crate) fn answer_question(&mut self, stored: &Entry) {
        if let Some(number) = self.questions.pop_front() {
            let revision: Result<u64, CallError> = Ok(stored.revision);
            self.to_machine.push_back(Input::Confirmed(number, revision));
        }
    }

    pub(crate) fn is_quiet(&self) -> bool {
        let asked = self.vms.iter().any(|vm| !vm.asked.is_empty());
        let queued = !self.to_machine.is_empty() || !self.to_flusher.is_empty() || self.flusher.has_ready();
        let waits = !self.questions.is_empty() || !self.looks.is_empty() || self.sent.is_some();
        !asked && !queued && !waits && (self.machine.is_some() || self.waiting.is_empty())
    }
}
