//! What takes the place of the Clawblox engine's DataStoreService: the seam, and the leaderboard.
#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

use std::time::Duration;

use clawstore::compat::clawblox::{DataStoreService, LeaderboardEntry, leaderboard};
use clawstore::mlua::{Lua, Thread, Value};
use clawstore::{Clawstore, Database, GameId};
use clawstore_testkit::postgres;

const GAME: GameId = GameId::Uuid(0x51c0_ffee_0000_4000_8000_0000_0000_0009);

/// What a game of the engine does: two stores, all of it without `pcall`.
const SCRIPT: &str = r#"
    local DataStoreService = game.GetService("DataStoreService")
    local saves = DataStoreService:GetDataStore("PlayerData")
    assert(saves:GetAsync("player_1") == nil)
    saves:SetAsync("player_1", { money = 5 })
    assert(saves:GetAsync("player_1").money == 5)
    local top = game.GetService("DataStoreService"):GetOrderedDataStore("Leaderboard")
    top:SetAsync("player_1", { score = 0.5, name = "Ada" })
    top:SetAsync("player_2", { score = 0.25, name = "Ben" })
    top:SetAsync("player_3", { score = 7 })
    top:SetAsync("player_4", 3)
    assert(#top:GetSortedAsync(false, 10) == 4)
    done = true
"#;

/// A VM as the engine makes one: `GetService` hands the value out anew each time.
fn vm(service: &DataStoreService) -> Lua {
    let (lua, service) = (Lua::new(), service.clone());
    let game = lua.create_table().unwrap();
    let get = move |_: &Lua, name: String| Ok((name == "DataStoreService").then(|| service.clone()));
    game.set("GetService", lua.create_function(get).unwrap()).unwrap();
    lua.globals().set("game", game).unwrap();
    lua
}

/// Resumes a thread with nothing until it has ended, as an engine that polls does once a tick.
fn poll(lua: &Lua, script: &str) {
    let thread: Thread = lua.create_thread(lua.load(script).into_function().unwrap()).unwrap();
    for _ in 0..20_000 {
        thread.resume::<()>(()).unwrap();
        if !thread.is_resumable() {
            return;
        }
        // Nobody wakes a host that polls.
        std::thread::park_timeout(Duration::from_millis(1));
    }
    panic!("it never ended");
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn a_value_handed_out_anew_is_one_service_with_one_set_of_stores() {
    let store = Clawstore::builder().database(Database::Memory).open().unwrap();
    let service = DataStoreService::new(GAME, &store).unwrap();
    let lua = vm(&service);
    lua.load(
        r#"
        local first, second = game.GetService("DataStoreService"), game.GetService("DataStoreService")
        assert(not rawequal(first, second) and first == second)
        assert(typeof(first) == "Instance" and tostring(first) == "DataStoreService" and first.ClassName == "DataStoreService")
        assert(first:GetDataStore("A") == second:GetDataStore("A"))
        assert(first:GetDataStore("A", "x") ~= first:GetDataStore("A", "y"))
        assert(first:GetOrderedDataStore("A") ~= first:GetDataStore("A"))
        assert(first.GetDataStore == second.GetDataStore)
        local ok, message = pcall(first.GetDataStore, first, "")
        assert(not ok and message == "DataStore name can't be empty string", message)
        "#,
    )
    .exec()
    .unwrap();
    let constructor = service.with_bindings(&lua, |bindings| bindings.class("DataStoreSetOptions")).unwrap();
    assert!(constructor.unwrap().call::<Value>(()).unwrap().is_userdata());
    assert!(
        service.with_bindings(&lua, |bindings| bindings.enum_item("SortDirection", "Ascending")).unwrap().is_some()
    );

    let other = DataStoreService::new(GameId::Number(2), &store).unwrap();
    let error = other.with_bindings(&lua, |_| ()).expect_err("another game");
    assert!(error.to_string().contains("one VM, one game"), "{error}");
}

#[test]
fn a_polled_game_saves_and_its_leaderboard_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Clawstore::builder().database(Database::directory(directory.path())).open().unwrap();
    let store = open();
    let service = DataStoreService::new(GAME, &store).unwrap();
    let lua = vm(&service);
    poll(&lua, SCRIPT);
    assert!(lua.globals().get::<bool>("done").unwrap());
    // Nobody waits for this one.
    poll(
        &lua,
        "coroutine.wrap(function() game.GetService('DataStoreService'):GetDataStore('S'):SetAsync('k', 1) end)()",
    );
    drop(lua);
    store.shutdown(Duration::from_secs(20));
    drop((service, store));

    let store = open();
    let game = store.game(GAME).unwrap();
    block_on(async {
        assert_eq!(game.data_store("S").unwrap().get::<i64>("k").await.unwrap().unwrap().value, 1);
        assert_eq!(leaderboard(&game, "Leaderboard", 3).await.unwrap(), expected());
        assert_eq!(leaderboard(&game, "Nothing", 3).await.unwrap(), Vec::new());
    });
}

fn expected() -> Vec<LeaderboardEntry> {
    let entry = |rank, user: u8, score, name: Option<&str>| LeaderboardEntry {
        rank,
        key: format!("player_{user}").into(),
        score,
        name: name.map(str::to_owned),
    };
    vec![entry(1, 3, 7.0, None), entry(2, 4, 3.0, None), entry(3, 1, 0.5, Some("Ada"))]
}

/// The query of the page, as the page has it.
#[test]
fn the_documented_query_says_the_same() {
    let page = include_str!("../../../docs/EMBEDDING.md");
    let query = page.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let database = postgres::Database::create();
    let store = Clawstore::builder().database(Database::parse(&database.url()).unwrap()).open().unwrap();
    let service = DataStoreService::new(GAME, &store).unwrap();
    poll(&vm(&service), SCRIPT);
    assert_eq!(block_on(leaderboard(service.game(), "Leaderboard", 3)).unwrap(), expected());
    let query = query.replace("$1", &format!("'{GAME}'")).replace("$2", "'Leaderboard'").replace("$3", "3");
    let rows = database.psql(&query).unwrap();
    let rows: Vec<_> = rows.trim().lines().map(|row| row.replace(' ', "")).collect();
    assert_eq!(rows, ["player_3|7|", "player_4|3|", "player_1|0.5|Ada"]);
    store.shutdown(Duration::from_secs(20));
}
