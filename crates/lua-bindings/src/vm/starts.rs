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

use super::gate::Call;
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

    /// Hands a call to the store. Gives the key that it writes, if it writes one. `has_waited`: other calls on its key may have
    /// started just now.
    ///
    /// # Errors
    /// How it has ended, if it has.
    pub(super) fn begin(
        &self,
        lua: &Lua,
        writer: Writer,
        call: Call,
        has_waited: bool,
    ) -> Result<Option<EntryKey>, Ended> {
        match call {
            Call::Read { key, use_cache } => match self.options.profile {
                Profile::Roblox => {
                    self.server.read(&key, writer, use_cache).map_or(Ok(None), |it| Err(Ended::Done(it)))
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
                borrow(&self.calls).queue.push_plain(&key, writer, at, &request);
                self.server.write(&key, writer, at, request);
                Ok(Some(key))
            }
            Call::RemoveVersion { key, id } => {
                let at = self.server.wall();
                borrow(&self.calls).queue.push_plain(&key, writer, at, &Request::RemoveVersion(id));
                self.server.remove_version(&key, writer, at, id);
                Ok(Some(key))
            }
            Call::Update { key, transform } => self.begin_update(lua, writer, key, transform, has_waited).map(Some),
        }
    }

    /// Runs the transform now if the key's state can be told; else when the store tells it. What the store shows may lack the
    /// writes that have started with an update that has waited: a transform must not fail of that.
    fn begin_update(
        &self,
        lua: &Lua,
        writer: Writer,
        key: EntryKey,
        transform: Function,
        has_waited: bool,
    ) -> Result<EntryKey, Ended> {
        let at = self.server.wall();
        let published = || if has_waited { None } else { self.server.published_head(&key) };
        let found = borrow(&self.calls).queue.foresee(&key, published);
        let update = match &found {
            None => Update::NOT_RUN,
            Some(head) => self.run_once(lua, &key, writer, &transform, head)?,
        };
        borrow(&self.calls).queue.push_update(&key, writer, at, transform, &update, found);
        self.server.write(&key, writer, at, Request::Update(update));
        Ok(key)
    }

    fn run_once(
        &self,
        lua: &Lua,
        key: &EntryKey,
        writer: Writer,
        transform: &Function,
        head: &Head,
    ) -> Result<Update, Ended> {
        let mut runner = Runner::new(lua, self, key.store.kind);
        match runner.run(writer.op, transform, head) {
            Ok(result) => Ok(Update { base: Some(head.base()), result }),
            Err(TransformFailed) => Err(runner.failed.pop().map_or(Ended::TransformFailed, |(_, ended)| ended)),
        }
    }
}
