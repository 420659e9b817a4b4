//! Updates that wait for their VM, and exclusive turns.
//!
//! Owns: the calls of one VM behind an update that must run again. Does not own: when it is asked or accepted
//! (`key_machine`).

use std::collections::VecDeque;

use super::{Op, Rerun, VmId};
use crate::clock::Moment;
use crate::ops::Request;

/// While it lasts, writes of other VMs on the key wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    pub(super) vm: VmId,
    pub(super) until: Moment,
}

/// An update that lost its race, with the later calls of its VM behind it. Never empty while it is kept.
#[derive(Debug)]
pub(super) struct Held<C> {
    pub(super) ops: VecDeque<Box<Op<C>>>,
    /// Races that the front has lost.
    pub(super) races: u32,
    /// It let a turn expire and has not been heard of since.
    pub(super) forfeited: bool,
    /// The ask whose answer is awaited; `None` if it must be asked again.
    pub(super) ask: Option<u64>,
    vm: VmId,
}

impl<C> Held<C> {
    pub(super) fn new(op: Box<Op<C>>, races: u32) -> Self {
        let vm = op.writer.vm;
        Self { ops: VecDeque::from([op]), races, forfeited: false, ask: None, vm }
    }

    pub(super) fn vm(&self) -> VmId {
        self.vm
    }

    pub(super) fn front(&self) -> &Op<C> {
        self.ops.front().expect("never empty while it is kept")
    }

    /// Is there a write among these calls that does not wait for the VM itself?
    pub(super) fn has_plain_write(&self) -> bool {
        self.ops.iter().any(|op| op.request.is_write() && !matches!(op.request, Request::Update(_)))
    }

    /// Takes out the calls that ended in the VM because their transform failed; and, if the VM was `asked` for it and does
    /// not name it, the front: it ended there while it waited elsewhere here.
    pub(super) fn remove_failed(&mut self, reruns: &[Rerun], asked: bool) -> Vec<Box<Op<C>>> {
        let front = self.front().writer.op;
        let unknown = asked && reruns.iter().all(|rerun| rerun.op != front);
        if !unknown && reruns.iter().all(|rerun| rerun.update.is_some()) {
            return Vec::new();
        }
        let named = |op: u64| reruns.iter().any(|rerun| rerun.op == op && rerun.update.is_none());
        let failed = |op: u64| (unknown && op == front) || named(op);
        let (failed, kept): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.ops).into_iter().partition(|op| failed(op.writer.op));
        self.ops = kept;
        failed.into()
    }

    /// Takes over new results. Both lists are in call order; a result for a call that has been answered meanwhile is
    /// passed over.
    pub(super) fn merge(&mut self, reruns: Vec<Rerun>) {
        let mut reruns = reruns.into_iter().peekable();
        for op in &mut self.ops {
            while reruns.next_if(|rerun| rerun.op < op.writer.op).is_some() {}
            let result = reruns.next_if(|rerun| rerun.op == op.writer.op).and_then(|rerun| rerun.update);
            if let (Some(update), Request::Update(old)) = (result, &mut op.request) {
                *old = update;
            }
        }
    }
}
