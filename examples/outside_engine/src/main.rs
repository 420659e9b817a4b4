//! An engine with a Postgres database of its own, in which Clawstore lives too. It plays one match and ends.
//!
//! Owns: a table with its migration, a Luau VM, a web handler. Does not own: anything of the store. It shows that the two
//! get along: one database, one runtime, one sqlx, one mlua.
//!
//! `DATABASE_URL` names the database, when this is built (sqlx's macros look there, those of Clawstore must not) and
//! when it runs.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use chrono::Utc;
use clawstore::{Clawstore, CloseReason, Database, Game, GameId, Runtime, ServerOptions};
use dashmap::DashMap;
use mlua::thread::ThreadStatus;
use mlua::{Lua, Thread};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tower::ServiceExt as _;
use uuid::Uuid;

/// This engine knows its games by UUID.
const GAME: Uuid = Uuid::from_u128(0x51c0_ffee_0000_4000_8000_0000_0000_0003);

const SCRIPT: &str = r#"
    local saves = DataStoreService:GetDataStore("Saves")
    saves:SetAsync("player_1", { coins = 5, visits = 0 })
    saves:UpdateAsync("player_1", function(save)
        save.visits += 1
        return save
    end)
"#;

/// The last save must be on disk by then.
const SHUTDOWN: Duration = Duration::from_secs(38);

#[derive(Debug, Serialize, Deserialize)]
struct Save {
    coins: f64,
    visits: u32,
}

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::var("DATABASE_URL").context("DATABASE_URL must name a Postgres database")?;
    let options = PgConnectOptions::from_str(&url)?.application_name("outside-engine");
    let pool = PgPool::connect_with(options.clone()).await?;
    sqlx::migrate!().run(&pool).await?;

    let database = Database::postgres(options);
    let runtime = Runtime::Handle(tokio::runtime::Handle::current());
    let store = Clawstore::builder().database(database).runtime(runtime).open_async().await?;
    let game = store.game(GameId::Uuid(GAME.as_u128()))?;
    play(&game).await?;
    record_match(&pool).await?;
    let save = visit_web(Arc::new(DashMap::from_iter([(GAME, game)]))).await?;
    ensure!((save.coins, save.visits) == (5.0, 1), "not what the script has saved: {save:?}");

    let report = store.shutdown_async(SHUTDOWN).await;
    ensure!((report.failed, report.unknown) == (0, 0), "{report:?}");
    println!("saved and read beside {} matches", count_matches(&pool).await?);
    Ok(())
}

/// Ticks a VM until its script has ended. rayon chooses the thread of each tick.
#[expect(clippy::disallowed_methods, reason = "an engine has a beat of its own")]
async fn play(game: &Game) -> Result<()> {
    let lua = Lua::new();
    let server = game.server(ServerOptions::default());
    let bindings = server.bind(&lua)?;
    let service = bindings.service("DataStoreService").context("the service is there")?;
    lua.globals().set("DataStoreService", service)?;
    let script = lua.create_thread(lua.load(SCRIPT).into_function()?)?;
    let mut ticks = tokio::time::interval(Duration::from_millis(16));
    while script.status() == ThreadStatus::Resumable {
        ticks.tick().await;
        tick(&script)?;
    }
    server.close(CloseReason::ServerEmpty);
    Ok(())
}

fn tick(script: &Thread) -> mlua::Result<()> {
    let mut result = Ok(());
    rayon::scope(|scope| scope.spawn(|_| result = script.resume(())));
    result
}

async fn record_match(pool: &PgPool) -> Result<()> {
    let insert = sqlx::query("INSERT INTO match (id, started_at) VALUES ($1, $2)");
    insert.bind(Uuid::new_v4()).bind(Utc::now()).execute(pool).await?;
    Ok(())
}

async fn count_matches(pool: &PgPool) -> Result<i64> {
    Ok(sqlx::query_scalar("SELECT count(*) FROM match").fetch_one(pool).await?)
}

/// What web handlers find.
type Games = Arc<DashMap<Uuid, Game>>;

/// What the engine's web server would do with a request.
async fn visit_web(games: Games) -> Result<Save> {
    let router = Router::new().route("/games/{game}/saves/{player}", get(show_save)).with_state(games);
    let request = Request::get(format!("/games/{GAME}/saves/player_1")).body(Body::empty())?;
    let response = router.oneshot(request).await?;
    ensure!(response.status() == StatusCode::OK, "{}", response.status());
    Ok(serde_json::from_slice(&to_bytes(response.into_body(), 1024).await?)?)
}

async fn show_save(
    State(games): State<Games>,
    Path((game, player)): Path<(Uuid, String)>,
) -> Result<Json<Save>, StatusCode> {
    let game = games.get(&game).map(|game| Game::clone(&game)).ok_or(StatusCode::NOT_FOUND)?;
    let saves = game.data_store("Saves").map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let save = saves.get::<Save>(&player).await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    save.map(|stored| Json(stored.value)).ok_or(StatusCode::NOT_FOUND)
}
