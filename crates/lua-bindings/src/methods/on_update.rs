//! `OnUpdate` (spec §2.1; deprecated): a callback for new values of a key. Writes of this server are told when they have
//! succeeded, those of other servers when the key is looked at, which costs a read a minute.

use clawstore_core::ops::Reply;
use clawstore_core::{CallError, EntryKey};
use mlua::{Function, Lua};

use super::{Arguments, Maker, Method, Passed, no_results};
use crate::arguments;
use crate::classes::connection::{Connection, Source};
use crate::classes::data_store::SERVICE;
use crate::classes::guarded;
use crate::shared::Shared;
use crate::vm::updates::Seen;
use crate::vm::{Ended, Started, Vm};

const NAME: &str = "OnUpdate";
/// One look at the key, by a thread of ours.
const LOOK: Method = Method { service: SERVICE, name: NAME, start: look, finish: no_results };

/// The method, for a class of stores.
pub(crate) fn method(lua: &Lua, vm: &Shared<Vm>, maker: &Maker<'_>) -> mlua::Result<(&'static str, Function)> {
    let looks = lua.load(include_str!("on_update.luau")).set_name("=DataStore").into_function()?;
    let looks: Function = looks.call(maker.part(&LOOK)?)?;
    let vm = Shared::clone(vm);
    let method = guarded(lua, move |lua, passed: Passed| {
        let (arguments, key, callback) = match check(passed) {
            Ok(checked) => checked,
            Err(error) => return Ok(Err(error)),
        };
        let look = looks.call((arguments.object(), arguments.at(1)))?;
        let connection = lua.create_any_userdata(Connection::new(&vm, Source::Key(key.clone()), callback))?;
        vm.watch(lua, &key, connection.clone(), look);
        Ok(Ok(connection))
    })?;
    Ok((NAME, method))
}

fn check(passed: Passed) -> Result<(Arguments, EntryKey, Function), CallError> {
    let arguments = Arguments::of(NAME, passed)?;
    let (key, callback) = (arguments.entry_key()?, arguments::function(arguments.at(2), 2)?);
    Ok((arguments, key, callback))
}

fn look(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    let key = arguments.entry_key()?;
    if !vm.begin_look(lua, &key) {
        return Ok(Started::Ended(Ended::Done(Ok(Reply::Nothing))));
    }
    Ok(match vm.read(lua, key.clone(), false) {
        Started::Ended(Ended::Done(Ok(reply))) => {
            tell(vm, lua, &key, &reply);
            Started::Ended(Ended::Done(Ok(Reply::Nothing)))
        }
        Started::Ticket(op) => {
            let vm = Shared::clone(vm);
            Started::With(
                op,
                Box::new(move |lua, reply| {
                    tell(&vm, lua, &key, reply);
                    no_results(lua, reply)
                }),
            )
        }
        other => other,
    })
}

fn tell(vm: &Vm, lua: &Lua, key: &EntryKey, reply: &Reply) {
    if let Reply::Entry(entry) = reply {
        vm.tell_update(lua, key, entry, Seen::Found);
    }
}
