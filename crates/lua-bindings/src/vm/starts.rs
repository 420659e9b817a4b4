//! How the calls of `DataStoreService` start: checked here, then through the gate, then handed to the store.
//!
//! Owns: what each call does at its start; running the transform of an update on what its key is expected to be. Does not own:
//! when a call starts (`gate`), how it ends (`vm`).

use clawstore_core::entry::VersionId;
use clawstore_core::key_machine::{Head, Writer};
use clawstore_core::ops::{Look, Request, Update};
use clawstore_core::vm_queue::{Transform, TransformFailed};
use clawstore_core::{CallError, EntryKey};
use mlua::{Function, Lua};

use super::calls::Writes;
use super::gate::{Call, NotBegun};
use super::{Ended, Started, Vm};
use crate::methods::ConvertOnce;
use crate::profile::Profile;
use crate::shared::borrow;
use crate::transform::Runner;

impl Vm {
    /// Starts `GetAsync`. What is at hand costs nothing (spec §2.9).
    pub(crate) fn read(&self, lua: &Lua, key: EntryKey, use_cache: bool) -> Started {
        let is_free = !self.gate.charges_read_at_hand(use_cache) && !self.gate.waits_to_write(&key);
        match is_free.then(|| self.server.read_at_hand(&key, use_cache)).flatten() {
            Some(result) => Started::Ended(Ended::Done(result)),
            None => self.pass(lua, Call::Read { key, use_cache }),
        }
    }

    /// Starts a look at versions or a list.
    pub(crate) fn look(&self, lua: &Lua, look: Look) -> Started {
        self.pass(lua, Call::Look(look))
    }

    /// The same, with what makes its results.
    pub(crate) fn look_with(&self, lua: &Lua, look: Look, convert: ConvertOnce) -> Started {
        match self.pass(lua, Call::Look(look)) {
            Started::Ticket(op) => Started::With(op, convert),
            other => other,
        }
    }

    /// Starts a write that needs no transform.
    pub(crate) fn write(&self, lua: &Lua, key: EntryKey, request: Request) -> Result<Started, CallError> {
        if let Request::Set(set) = &request {
            self.options.profile.check_value(key.store.kind, &set.value)?;
        }
        request.validate(key.store.kind)?;
        Ok(self.pass(lua, Call::Write { key, request }))
    }

    /// Starts `RemoveVersionAsync`.
    pub(crate) fn remove_version(&self, lua: &Lua, key: EntryKey, id: VersionId) -> Started {
        self.pass(lua, Call::RemoveVersion { key, id })
    }

    /// Starts `UpdateAsync`.
    pub(crate) fn update(&self, lua: &Lua, key: EntryKey, transform: Function) -> Started {
        // Answers that wait may change what the key is expected to be.
        self.take_answers(lua);
        self.pass(lua, Call::Update { key, transform })
    }

    /// Hands a call to the store. Gives what it writes, if it writes.
    ///
    /// # Errors
    /// How it has ended, if it has; the call, if there is no room for it.
    pub(super) fn begin(&self, lua: &Lua, writer: Writer, call: Call) -> Result<Option<Writes>, NotBegun> {
        match call {
            Call::Read { key, use_cache } => match self.options.profile {
                Profile::Roblox => {
                    self.server.read(&key, writer, use_cache).map_or(Ok(None), |it| Err(Ended::Done(it).into()))
                }
                Profile::Clawblox => {
                    self.server.read_patiently(&key, writer, use_cache);
                    Ok(None)
                }
            },
            Call::Look(look) => {
                self.server.look(writer, look);
                Ok(None)
            }
            Call::Write { key, request } => {
                let at = self.server.wall();
                let removes = request == Request::Remove;
                borrow(&self.calls).queue.push_plain(&key, writer, at, &request);
                self.server.write(&key, writer, at, request);
                Ok(Some(Writes { key, removes }))
            }
            Call::RemoveVersion { key, id } => {
                let at = self.server.wall();
                borrow(&self.calls).queue.push_plain(&key, writer, at, &Request::RemoveVersion(id));
                self.server.remove_version(&key, writer, at, id);
                Ok(Some(Writes { key, removes: false }))
            }
            Call::Update { key, transform } => self.begin_update(lua, writer, key, transform).map(Some),
        }
    }

    /// Runs the transform now if the key's state can be told; else when the store tells it.
    fn begin_update(&self, lua: &Lua, writer: Writer, key: EntryKey, transform: Function) -> Result<Writes, NotBegun> {
        let at = self.server.wall();
        let found = borrow(&self.calls).queue.foresee(&key, || self.server.published_head(&key));
        let update = match &found {
            None => Update::NOT_RUN,
            Some(head) => self.run_once(lua, &key, writer, &transform, head)?,
        };
        let request = Request::Update(update.clone());
        // The gate has asked for what an update costs that has not run.
        if let Some(charge) = found.as_ref().and_then(|_| self.no_room_for(&key, &request)) {
            return Err(NotBegun::NoRoom(Box::new(Call::Update { key, transform }), charge));
        }
        borrow(&self.calls).queue.push_update(&key, writer, at, transform, &update, found);
        self.server.write(&key, writer, at, request);
        Ok(Writes { key, removes: false })
    }

    fn run_once(
        &self,
        lua: &Lua,
        key: &EntryKey,
        writer: Writer,
        transform: &Function,
        head: &Head,
    ) -> Result<Update, Ended> {
        let mut running = Running { vm: self, op: Some(writer.op) };
        let mut runner = Runner::new(lua, self, key.store.kind);
        let result = runner.run(writer.op, transform, head);
        running.op = None;
        match result {
            Ok(result) => Ok(Update { base: Some(head.base()), result }),
            Err(TransformFailed) => Err(runner.failed.pop().map_or(Ended::TransformFailed, |(_, ended)| ended)),
        }
    }
}

/// A call whose transform runs. It ends also when a host's function panics in that: it may have waited, and its coroutine with
/// it.
struct Running<'a> {
    vm: &'a Vm,
    /// `None` when the transform has run.
    op: Option<u64>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(op) = self.op {
            borrow(&self.vm.calls).end(op, Ended::Refused(CallError::internal()));
        }
    }
}
