//! What a host puts into a VM.
//!
//! Owns: registering the classes, and answering a host's look-ups of services and classes. Does not own: the VM, its
//! globals (unless asked to install), its tick.

use std::fmt;
use std::time::Duration;

use clawstore_actors::Server;
use clawstore_core::backend::{SortedItem, StoreInfo, VersionInfo};
use clawstore_core::clock::Timestamp;
use clawstore_core::limits::TRANSFORM_CPU;
use mlua::{AnyUserData, Function, Lua, MaybeSend, Table, Thread, Value as LuaValue};

use crate::classes::data_store_service::DataStoreService;
use crate::classes::enums::{Enum, EnumItem, Enums};
use crate::classes::key_info::KeyInfo;
use crate::classes::listed::ListedKey;
use crate::classes::memory_store_service::MemoryStoreService;
use crate::classes::messaging_service::MessagingService;
use crate::classes::options::{GetOptions, INCREMENT_OPTIONS, MetadataOptions, SET_OPTIONS, StoreOptions};
use crate::classes::{
    connection, data_store, data_store_service, enums, key_info, listed, memory_store_hash_map, memory_store_queue,
    memory_store_service, memory_store_sorted_map, messaging_service, options, ordered_data_store, pages, version_info,
};
use crate::control::CallControl;
use crate::methods::{Maker, Methods, memory_hash_map, memory_queue, memory_sorted_map, on_update};
use crate::profile::Profile;
use crate::shared::Shared;
use crate::store_cache::Cache;
use crate::transform::Interrupt;
use crate::vm::Vm;

/// Takes one log line.
#[cfg(feature = "send")]
pub type LogSink = Box<dyn Fn(&str) + Send + Sync>;
/// Takes one log line.
#[cfg(not(feature = "send"))]
pub type LogSink = Box<dyn Fn(&str)>;

/// Decides about calls.
#[cfg(feature = "send")]
pub type Control = Box<dyn CallControl + Send + Sync>;
/// Decides about calls.
#[cfg(not(feature = "send"))]
pub type Control = Box<dyn CallControl>;

/// How the bindings behave in a VM.
pub struct Options {
    /// CPU time that one transform may use.
    pub transform_cpu: Duration,
    /// Who uses the VM's interrupt slot.
    pub interrupt: Interrupt,
    /// The host resumes the threads that [`Bindings::completed`] names; without it, it polls every parked coroutine.
    pub scheduler: bool,
    /// Where log lines go (errors as the engine prints them, failed transforms); to `tracing` without one.
    pub log: Option<LogSink>,
    /// Conditions of a simulated run.
    pub control: Option<Control>,
    /// Whose games run in the VM.
    pub profile: Profile,
    /// What `GetAsync` shows.
    pub cache: Cache,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            transform_cpu: TRANSFORM_CPU,
            interrupt: Interrupt::Ours,
            scheduler: false,
            log: None,
            control: None,
            profile: Profile::default(),
            cache: Cache::default(),
        }
    }
}

impl Options {
    /// Sends log lines (errors as the engine prints them, failed transforms) to `sink` instead of `tracing`.
    #[must_use]
    #[cfg(feature = "send")]
    pub fn log_to(mut self, sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.log = Some(Box::new(sink));
        self
    }

    /// Sends log lines (errors as the engine prints them, failed transforms) to `sink` instead of `tracing`.
    #[must_use]
    #[cfg(not(feature = "send"))]
    pub fn log_to(mut self, sink: impl Fn(&str) + 'static) -> Self {
        self.log = Some(Box::new(sink));
        self
    }

    pub(crate) fn log(&self, line: &str) {
        match &self.log {
            Some(sink) => sink(line),
            None => tracing::warn!(target: "clawstore::scripts", "{line}"),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("transform_cpu", &self.transform_cpu)
            .field("interrupt", &self.interrupt)
            .field("scheduler", &self.scheduler)
            .field("profile", &self.profile)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

/// The data-store API in one VM.
#[derive(Debug)]
pub struct Bindings {
    vm: Shared<Vm>,
    services: Vec<(&'static str, AnyUserData)>,
    classes: Table,
    enums: Enums,
}

impl Bindings {
    /// Registers the classes in `lua` for `server`. One server per VM.
    ///
    /// # Errors
    /// If the VM has no `coroutine` library or no memory.
    pub fn new(lua: &Lua, server: Server, options: Options) -> mlua::Result<Self> {
        let game = server.game_id();
        let vm = Vm::new(lua, server, options)?;
        register_types(lua, &vm)?;
        let services = vec![
            ("DataStoreService", lua.create_any_userdata(DataStoreService::new(game, &vm))?),
            ("MemoryStoreService", lua.create_any_userdata(MemoryStoreService::default())?),
            ("MessagingService", lua.create_any_userdata(MessagingService)?),
        ];
        Ok(Self { services, classes: classes(lua)?, enums: Enums::new(lua)?, vm })
    }

    /// The service of this name, for the host's `GetService`; `None` if it is not one of ours.
    pub fn service(&self, name: &str) -> Option<LuaValue> {
        let (_, service) = self.services.iter().find(|(known, _)| *known == name)?;
        Some(LuaValue::UserData(service.clone()))
    }

    /// Names of the services that [`Bindings::service`] has.
    pub fn service_names(&self) -> impl Iterator<Item = &'static str> {
        self.services.iter().map(|(name, _)| *name)
    }

    /// The constructor of the class of this name, for the host's `Instance.new`; `None` if it is not one of ours.
    pub fn class(&self, name: &str) -> Option<Function> {
        self.classes.raw_get(name).ok()
    }

    /// Names of the classes that [`Bindings::class`] constructs.
    pub fn class_names() -> [&'static str; 4] {
        ["DataStoreOptions", SET_OPTIONS, INCREMENT_OPTIONS, "DataStoreGetOptions"]
    }

    /// The enum of this name, for the host's `Enum`; `None` if it is not one of ours. Methods take the host's own items as
    /// well: whatever has a `Name` or `Value`, a name, or a number.
    pub fn enumeration(&self, name: &str) -> Option<LuaValue> {
        self.enums.get(name).map(LuaValue::UserData)
    }

    /// An item of such an enum: the same one each time.
    pub fn enum_item(&self, name: &str, item: &str) -> Option<LuaValue> {
        self.enums.item(name, item).map(LuaValue::UserData)
    }

    /// Appends the threads whose call has ended since the last time, in the order in which they ended; the host resumes
    /// each without arguments. Runs transforms that lost a race. Costs one load if nothing has arrived.
    ///
    /// Callbacks of messages are new threads, which come from here too: a host that polls every parked coroutine asks each
    /// tick as well, and polls the new ones from then on.
    pub fn completed(&self, lua: &Lua, threads: &mut Vec<Thread>) {
        self.vm.completed(lua, threads);
    }

    /// Has `wake` called from any thread when something has arrived for this VM.
    pub fn set_wake(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.vm.server.inbox().set_wake(wake);
    }

    /// When [`Bindings::completed`] will have something that nobody announces: a call whose result is held back by a simulated
    /// latency, a wait inside a call, one that waits for budget. By the server's wall clock, or now if that is over. For a host
    /// that skips frames.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.vm.next_due_by_wall()
    }

    /// A handle that outlives a borrow of the bindings: see [`Bindings::next_due`].
    pub fn due_times(&self) -> impl Fn() -> Option<Timestamp> + MaybeSend + 'static {
        let vm = Shared::clone(&self.vm);
        move || vm.next_due_by_wall()
    }

    /// Says that the server is about to close: its scripts get budget to save with, where requests are limited (spec §6.4).
    /// Before `BindToClose` functions run.
    pub fn closing(&self) {
        self.vm.top_up_budgets();
    }

    /// Calls that have not returned to their script.
    pub fn open_calls(&self) -> usize {
        self.vm.open_calls()
    }

    /// A handle that outlives a borrow of the bindings, for a host's scheduler: each call appends the next thread that is to be
    /// resumed, or none when the round is over. Ask for one when those before it have run: it may be that they have resumed a
    /// thread themselves, which must not be resumed again then.
    pub fn completions(&self) -> impl Fn(&Lua, &mut Vec<Thread>) + MaybeSend + 'static {
        let vm = Shared::clone(&self.vm);
        move |lua, threads| threads.extend(vm.next_completed(lua))
    }

    /// A handle that counts who listens to other servers, for messages and for updates of keys: for a host's end rule.
    pub fn listener_counter(&self) -> impl Fn() -> usize + MaybeSend + 'static {
        let vm = Shared::clone(&self.vm);
        move || vm.messages.listeners() + vm.updates.listeners()
    }

    /// A handle that tells whether something of [`Bindings::next_due`] is waited for: for a host's end rule. Looks at keys that
    /// are watched for updates are not.
    pub fn due_work(&self) -> impl Fn() -> bool + MaybeSend + 'static {
        let vm = Shared::clone(&self.vm);
        move || vm.has_due_work()
    }

    /// A handle that counts open calls that will end by themselves: for a host's end rule. One that waits for budget of which
    /// none comes does so only if a rate is set, a player joins or the server closes.
    pub fn pending_call_counter(&self) -> impl Fn() -> usize + MaybeSend + 'static {
        let vm = Shared::clone(&self.vm);
        move || vm.pending_calls()
    }

    /// A handle that counts open calls: for the end of a server that closes.
    pub fn open_call_counter(&self) -> impl Fn() -> usize + MaybeSend + 'static {
        let vm = Shared::clone(&self.vm);
        move || vm.open_calls()
    }
}

fn register_types(lua: &Lua, vm: &Shared<Vm>) -> mlua::Result<()> {
    let maker = Maker::new(lua, vm)?;
    let store_methods = |methods| -> mlua::Result<Methods> {
        let on_update = on_update::method(lua, vm, &maker)?;
        Ok(maker.functions(methods)?.into_iter().chain([on_update]).collect())
    };
    register_with(lua, store_methods(data_store::METHODS)?, data_store::register)?;
    register_with(lua, store_methods(ordered_data_store::METHODS)?, ordered_data_store::register)?;
    register_with(lua, maker.functions(pages::methods::<VersionInfo>())?, pages::register::<VersionInfo>)?;
    register_with(lua, maker.functions(pages::methods::<SortedItem>())?, pages::register::<SortedItem>)?;
    register_with(lua, maker.functions(pages::methods::<ListedKey>())?, pages::register::<ListedKey>)?;
    register_with(lua, maker.functions(pages::methods::<StoreInfo>())?, pages::register::<StoreInfo>)?;
    register(lua, version_info::register)?;
    register(lua, listed::register_key)?;
    register(lua, listed::register_store)?;
    register_with(lua, maker.functions(data_store_service::METHODS)?, data_store_service::register)?;
    register_memory_stores(lua, vm, &maker)?;
    register_with(lua, maker.functions(messaging_service::METHODS)?, messaging_service::register)?;
    register(lua, connection::register)?;
    register::<KeyInfo>(lua, key_info::register)?;
    register::<Enum>(lua, enums::register_enum)?;
    register::<EnumItem>(lua, enums::register_item)?;
    register::<StoreOptions>(lua, options::register_store_options)?;
    register::<GetOptions>(lua, options::register_get_options)?;
    register::<MetadataOptions>(lua, options::register_metadata_options)
}

fn register_memory_stores(lua: &Lua, vm: &Shared<Vm>, maker: &Maker<'_>) -> mlua::Result<()> {
    register(lua, memory_store_service::register)?;
    register_with(lua, memory_sorted_map::methods(lua, vm, maker)?, memory_store_sorted_map::register)?;
    register_with(lua, memory_queue::methods(lua, vm, maker)?, memory_store_queue::register)?;
    register_with(lua, memory_hash_map::methods(lua, vm, maker)?, memory_store_hash_map::register)?;
    register_with(lua, maker.functions(memory_hash_map::PAGES_METHODS)?, memory_store_hash_map::register_pages)
}

/// A class with yielding methods.
fn register_with<T: 'static>(
    lua: &Lua,
    methods: Methods,
    register: fn(&Lua, &mut mlua::UserDataRegistry<T>, Methods) -> mlua::Result<()>,
) -> mlua::Result<()> {
    let mut registered = Ok(());
    lua.register_userdata_type::<T>(|registry| registered = register(lua, registry, methods))?;
    registered
}

fn register<T: 'static>(
    lua: &Lua,
    register: fn(&Lua, &mut mlua::UserDataRegistry<T>) -> mlua::Result<()>,
) -> mlua::Result<()> {
    let mut registered = Ok(());
    lua.register_userdata_type::<T>(|registry| registered = register(lua, registry))?;
    registered
}

fn classes(lua: &Lua) -> mlua::Result<Table> {
    let classes = lua.create_table()?;
    let [store, set, increment, get] = Bindings::class_names();
    classes.raw_set(store, lua.create_function(|lua, ()| lua.create_any_userdata(StoreOptions::default()))?)?;
    classes.raw_set(get, lua.create_function(|lua, ()| lua.create_any_userdata(GetOptions::default()))?)?;
    for class in [set, increment] {
        classes.raw_set(
            class,
            lua.create_function(move |lua, ()| lua.create_any_userdata(MetadataOptions::new(class)))?,
        )?;
    }
    Ok(classes)
}
