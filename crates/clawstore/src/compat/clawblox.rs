//! What takes the place of the Clawblox engine's own DataStoreService.
//!
//! Owns: a value that is made with a game id, cloned and handed to Lua on every `GetService`, as the engine does it; and the
//! leaderboard that the engine serves over HTTP. Does not own: what scripts see behind it. Those are the bindings' own objects,
//! bound with [`Profile::Clawblox`], the same ones each time.
//!
//! How an engine is moved over: `docs/EMBEDDING.md`.

use std::sync::Arc;

use clawstore_core::backend::{SortedItem, SortedQuery};
use clawstore_core::entry_key::DEFAULT_SCOPE;
use clawstore_core::ops::{Look, Reply};
use clawstore_core::{CallError, GameId, StoreId, StoreKind, scores};
use clawstore_lua::{Bindings, Options, Profile};
use mlua::{AnyUserData, AppDataRef, Function, Lua, MetaMethod, UserData, UserDataFields, UserDataMethods, Value};
use serde::{Deserialize, Serialize};

use crate::builder::OpenError;
use crate::data_store::StoreError;
use crate::game::Game;
use crate::server::ServerOptions;
use crate::store::Clawstore;

/// `DataStoreService` for one game. Cheap to clone, and the same for every VM of the game: the first time that a VM gets one
/// (as a value, or through [`DataStoreService::with_bindings`]) it is bound as a server of the game.
///
/// Needs neither a tokio context nor a waker where it is used: a coroutine that waits is resumed once a tick, as always. What a
/// VM has saved becomes durable also when the VM is dropped.
#[derive(Debug, Clone)]
pub struct DataStoreService {
    game: Game,
    scheduler: bool,
}

/// What a VM keeps.
struct Bound {
    game: GameId,
    bindings: Bindings,
    /// Looks a member up in the bindings' service.
    index: Function,
}

impl DataStoreService {
    /// The service of a game. Opens the game if it is not open yet; all instances of a game use one.
    ///
    /// # Errors
    /// If the game cannot be opened: the store has been shut down.
    pub fn new(game: GameId, store: &Clawstore) -> Result<Self, OpenError> {
        Ok(Self { game: store.game(game)?, scheduler: false })
    }

    /// For an engine that does not poll: it resumes the threads that [`Bindings::completed`] names.
    #[must_use]
    pub fn with_scheduler(mut self) -> Self {
        self.scheduler = true;
        self
    }

    /// The game.
    pub fn game(&self) -> &Game {
        &self.game
    }

    /// The whole API in a VM: what else a host's `Instance.new`, `GetService` and `Enum` may ask for. Binds the VM if it is not
    /// bound yet.
    ///
    /// # Errors
    /// If the VM has no memory, or is bound to another game.
    pub fn with_bindings<R>(&self, lua: &Lua, ask: impl FnOnce(&Bindings) -> R) -> mlua::Result<R> {
        self.bound(lua).map(|bound| ask(&bound.bindings))
    }

    fn bound<'a>(&self, lua: &'a Lua) -> mlua::Result<AppDataRef<'a, Bound>> {
        if lua.app_data_ref::<Bound>().is_none() {
            lua.set_app_data(self.bind(lua)?);
        }
        match lua.app_data_ref::<Bound>() {
            Some(bound) if bound.game == self.game.id() => Ok(bound),
            _ => Err(mlua::Error::runtime("this VM belongs to another game: one VM, one game")),
        }
    }

    fn bind(&self, lua: &Lua) -> mlua::Result<Bound> {
        let server = self.game.server(ServerOptions::default());
        let options = Options { profile: Profile::Clawblox, scheduler: self.scheduler, ..server.options() };
        let bindings = server.bind_with(lua, options)?;
        let service = bindings.service("DataStoreService");
        let index = lua.load(include_str!("clawblox/index.luau")).set_name("=DataStoreService").call(service)?;
        Ok(Bound { game: self.game.id(), bindings, index })
    }
}

/// Scripts find the members of the bindings' service in it.
impl UserData for DataStoreService {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_meta_field("__type", "Instance");
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_meta_method(MetaMethod::Index, |lua, this, name: Value| {
            let index = this.bound(lua)?.index.clone();
            index.call::<Value>(name)
        });
        // Each `GetService` may make a new userdata; scripts compare services.
        methods.add_meta_method(MetaMethod::Eq, |_, this, other: AnyUserData| {
            Ok(other.borrow::<Self>().is_ok_and(|other| other.game.id() == this.game.id()))
        });
        methods.add_meta_method(MetaMethod::ToString, |_, _, ()| Ok("DataStoreService"));
    }
}

/// A line of a leaderboard, as `GET /games/{id}/leaderboard` answers it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeaderboardEntry {
    /// From 1.
    pub rank: usize,
    /// The key in the store.
    pub key: Arc<str>,
    /// The number that it ranks by.
    pub score: f64,
    /// The field `name` of what is stored, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The best `limit` entries of an ordered store in the default scope, greatest score first; those of the same score by key, the
/// last one first. Shows what is durable.
///
/// # Errors
/// If the name is not legal, or the store cannot be read.
pub async fn leaderboard(game: &Game, store: &str, limit: usize) -> Result<Vec<LeaderboardEntry>, StoreError> {
    let store = StoreId::new(game.id(), StoreKind::Ordered, store.as_bytes(), DEFAULT_SCOPE.as_bytes())?;
    let store = Arc::new(store);
    let query = SortedQuery { store, ascending: false, min: i64::MIN, max: i64::MAX, after: None, limit };
    let Reply::Sorted(items) = game.inner().look(Look::Scores(query, None)).await? else {
        return Err(CallError::internal().into());
    };
    (1..).zip(items).map(|(rank, item)| entry(rank, item)).collect()
}

fn entry(rank: usize, item: SortedItem) -> Result<LeaderboardEntry, StoreError> {
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    let name = serde_json::from_slice::<Named>(item.value.json()).ok().map(|named| named.name);
    Ok(LeaderboardEntry { rank, score: scores::score(&item.value)?, key: item.key, name })
}
