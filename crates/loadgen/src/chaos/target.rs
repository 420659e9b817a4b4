//! The store that is treated badly, as the harness sees it.
//!
//! Owns: where it is, and everything that is in it after a fault: through a process that opens the embedded store again,
//! or by SQL past our own code. Does not own: judging it (`check`).

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clawstore_testkit::postgres::{Cluster, Pair, Replication};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::Db;
use super::check::State;
use super::process::{Event, Process};
use super::victim::STORE;

/// The connections of a dead process, and the statements in them, end within this time.
const CONNECTIONS_MAX: Duration = Duration::from_secs(30);
/// Between two looks at them.
const LOOK: Duration = Duration::from_millis(5);

/// Connections of others.
const OTHERS: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
/// Entries of one store.
const FROM: &str = "FROM clawstore.entry JOIN clawstore.store ON store.id = entry.store WHERE store.name = $1";

/// See the module.
#[derive(Debug)]
pub(crate) enum Target {
    Embedded(TempDir),
    Postgres(Box<Server>),
}

impl Target {
    pub(crate) fn start(db: Db) -> Result<Self> {
        Ok(match db {
            Db::Sqlite => Self::Embedded(tempfile::Builder::new().prefix("clawstore-chaos-").tempdir()?),
            Db::Postgres => Self::Postgres(Box::new(Server::start()?)),
        })
    }

    /// As a victim takes it.
    pub(crate) fn name(&self) -> OsString {
        match self {
            Self::Embedded(dir) => dir.path().join("db").into(),
            Self::Postgres(server) => server.url().into(),
        }
    }

    /// How long it took until all could be read, and everything. Call it when no victim runs.
    pub(crate) fn look(&self, close: bool) -> Result<(Duration, State)> {
        match self {
            Self::Embedded(dir) => look_into(&dir.path().join("db"), close),
            Self::Postgres(server) => {
                let start = Instant::now();
                server.wait_until_alone()?;
                Ok((start.elapsed(), server.look()?))
            }
        }
    }

    /// What was done for that, for people.
    pub(crate) fn looked(&self, close: bool) -> &'static str {
        match self {
            Self::Embedded(_) if close => "opened and closed again",
            Self::Embedded(_) => "opened and killed again",
            Self::Postgres(_) => "its last statement had ended",
        }
    }

    /// Leaves a store in which something is wrong for whoever wants to know. A server goes with its process.
    pub(crate) fn keep(self) {
        if let Self::Embedded(dir) = self {
            println!("the store is kept in {}", dir.keep().display());
        }
    }
}

/// How long the embedded store took to open, and everything in it.
fn look_into(db: &Path, close: bool) -> Result<(Duration, State)> {
    let verifier = Process::start(&["verifier".into(), "--db".into(), db.into()])?;
    verifier.wait_for(Event::End)?;
    let told = if close { verifier.close()? } else { verifier.kill()? };
    let told = String::from_utf8(told)?;
    let mut lines = told.lines();
    let micros = lines.next().and_then(|line| line.strip_prefix("open ")).context("the verifier did not say `open`")?;
    let mut state = State::new();
    for line in lines.take_while(|line| *line != "end") {
        let (key, json) =
            line.strip_prefix("V ").and_then(|line| line.split_once(' ')).context("the verifier's line")?;
        state.insert(key.to_owned(), serde_json::from_str::<Value>(json)?);
    }
    Ok((Duration::from_micros(micros.parse()?), state))
}

/// A Postgres server with stock settings, perhaps with a standby, and a database for the victims.
#[derive(Debug)]
pub(crate) struct Server {
    runtime: Runtime,
    /// Dropped with the server: nobody asks it to drop its database.
    place: Place,
}

#[derive(Debug)]
enum Place {
    Alone(Cluster),
    WithStandby(Pair),
}

impl Server {
    pub(crate) fn start() -> Result<Self> {
        Self::at(Place::Alone(Cluster::start().context("a Postgres server")?))
    }

    pub(crate) fn start_with_standby(replication: Replication) -> Result<Self> {
        Self::at(Place::WithStandby(Pair::start(replication).context("a Postgres server with a standby")?))
    }

    fn at(place: Place) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, place })
    }

    /// The one that takes writes.
    pub(crate) fn cluster(&self) -> &Cluster {
        match &self.place {
            Place::Alone(cluster) => cluster,
            Place::WithStandby(pair) => pair.primary(),
        }
    }

    pub(crate) fn cluster_mut(&mut self) -> &mut Cluster {
        match &mut self.place {
            Place::Alone(cluster) => cluster,
            Place::WithStandby(pair) => pair.primary_mut(),
        }
    }

    pub(crate) fn pair(&mut self) -> Result<&mut Pair> {
        match &mut self.place {
            Place::Alone(_) => bail!("this server has no standby"),
            Place::WithStandby(pair) => Ok(pair),
        }
    }

    pub(crate) fn url(&self) -> String {
        self.cluster().url()
    }

    /// Waits until nobody else is connected: what a killed process had sent may still be running.
    pub(crate) fn wait_until_alone(&self) -> Result<()> {
        self.wait_until_gone(None)
    }

    /// Waits until nobody is connected any more under these names; `None`: nobody at all.
    pub(crate) fn wait_until_gone(&self, names: Option<&[String]>) -> Result<()> {
        let others = format!("{OTHERS} AND ($1::text[] IS NULL OR application_name = ANY ($1))");
        self.runtime.block_on(async {
            let (mut connection, start) = (PgConnection::connect(&self.url()).await?, Instant::now());
            let mut count = async || {
                let count = sqlx::query_scalar::<_, i64>(AssertSqlSafe(others.clone())).bind(names);
                count.fetch_one(&mut connection).await
            };
            while count().await? > 0 {
                if start.elapsed() > CONNECTIONS_MAX {
                    bail!("connections of a killed process have not ended within {CONNECTIONS_MAX:?}");
                }
                tokio::time::sleep(LOOK).await;
            }
            Ok(())
        })
    }

    /// Everything that victims have stored.
    pub(crate) fn look(&self) -> Result<State> {
        self.look_at(None)
    }

    /// The same without lists, but for those of this epoch.
    pub(crate) fn look_at_epoch(&self, epoch: u64) -> Result<State> {
        self.look_at(Some(format!("list_{epoch}_")))
    }

    fn look_at(&self, lists: Option<String>) -> Result<State> {
        let rows = self.ask(async |connection| {
            let all = format!(
                "SELECT entry.key, entry.value {FROM} AND entry.value IS NOT NULL
                 AND ($2::text IS NULL OR NOT starts_with(entry.key, 'list_') OR starts_with(entry.key, $2))"
            );
            let all = sqlx::query_as::<_, (String, String)>(AssertSqlSafe(all));
            all.bind(STORE).bind(lists).fetch_all(connection).await
        })?;
        rows.into_iter().map(|(key, json)| Ok((key, serde_json::from_str(&json)?))).collect()
    }

    /// What is stored under a key, as JSON.
    pub(crate) fn value(&self, store: &str, key: &str) -> Result<String> {
        let value = self.ask(async |connection| {
            let one = format!("SELECT entry.value {FROM} AND entry.key = $2");
            sqlx::query_scalar(AssertSqlSafe(one)).bind(store).bind(key).fetch_one(connection).await
        });
        value.with_context(|| format!("{store}, {key}"))
    }

    /// How many keys have this value.
    pub(crate) fn count(&self, store: &str, value: &str) -> Result<i64> {
        self.ask(async |connection| {
            let count = format!("SELECT count(*) {FROM} AND entry.value = $2");
            sqlx::query_scalar(AssertSqlSafe(count)).bind(store).bind(value).fetch_one(connection).await
        })
    }

    /// States of all processes that were ever known, the oldest first.
    pub(crate) fn incarnations(&self) -> Result<Vec<String>> {
        const ALL: &str = "SELECT state FROM clawstore.incarnation ORDER BY id";
        self.ask(async |connection| sqlx::query_scalar(ALL).fetch_all(connection).await)
    }

    /// How many batches were found to have committed already when they were sent again.
    pub(crate) fn replays(&self) -> Result<i64> {
        const ALL: &str = "SELECT sum(bumps)::bigint FROM clawstore.lane";
        self.ask(async |connection| sqlx::query_scalar(ALL).fetch_one(connection).await)
    }

    /// Runs statements as an operator would.
    pub(crate) fn execute(&self, sql: impl Into<String>) -> Result<()> {
        let sql = AssertSqlSafe(sql.into());
        self.ask(async |connection| sqlx::raw_sql(sql).execute(connection).await.map(drop))
    }

    /// The next multixact to be given out.
    pub(crate) fn multixacts(&self) -> Result<i64> {
        self.execute("CHECKPOINT")?;
        const NEXT: &str = "SELECT next_multixact_id::text::bigint FROM pg_control_checkpoint()";
        self.ask(async |connection| sqlx::query_scalar(NEXT).fetch_one(connection).await)
    }

    /// The texts of the functions that commit batches.
    pub(crate) fn commit_functions(&self) -> Result<Vec<String>> {
        const ALL: &str = "SELECT pg_get_functiondef(pg_proc.oid) FROM pg_proc
            WHERE pronamespace = 'clawstore'::regnamespace AND starts_with(proname, 'commit_batch_v')";
        self.ask(async |connection| sqlx::query_scalar(ALL).fetch_all(connection).await)
    }

    /// The most connections of others that were seen while this lasted.
    pub(crate) fn most_connections_during(&self, lasts: Duration) -> Result<u64> {
        let start = Instant::now();
        let most = self.ask(async |connection| {
            let mut most = 0;
            while start.elapsed() < lasts {
                most = sqlx::query_scalar::<_, i64>(OTHERS).fetch_one(&mut *connection).await?.max(most);
                tokio::time::sleep(LOOK).await;
            }
            Ok(most)
        })?;
        Ok(u64::try_from(most)?)
    }

    fn ask<T>(&self, question: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>) -> Result<T> {
        self.runtime.block_on(async {
            let mut connection = PgConnection::connect(&self.url()).await?;
            Ok(question(&mut connection).await?)
        })
    }
}
