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
    /// It has been asked since the head last changed under it unseen.
    pub(super) asked: bool,
    vm: VmId,
}

impl<C> Held<C> {
    pub(super) fn new(op: Box<Op<C>>, races: u32) -> Self {
        let vm = op.writer.vm;
        Self { ops: VecDeque::from([op]), races, forfeited: false, asked: false, vm }
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

    /// Takes over new results; returns the calls that ended in the VM because their transform failed.
    pub(super) fn merge(&mut self, reruns: Vec<Rerun>) -> Vec<Box<Op<C>>> {
        let mut failed = Vec::new();
        let mut reruns = reruns.into_iter().peekable();
        for mut op in std::mem::take(&mut self.ops) {
            // Both lists are in call order; a rerun for a call that has been answered meanwhile is passed over.
            while reruns.next_if(|rerun| rerun.op < op.writer.op).is_some() {}
            match (reruns.next_if(|rerun| rerun.op == op.writer.op), &mut op.request) {
                (Some(Rerun { update: Some(update), .. }), Request::Update(old)) => {
                    *old = update;
                    self.ops.push_back(op);
                }
                (Some(Rerun { update: None, .. }), Request::Update(_)) => failed.push(op),
                _ => self.ops.push_back(op),
            }
        }
        failed
    }
}
