//! The proxy between a driver and a real server.
//!
//! Owns: that each cut leaves on the server what it says, and that all else passes unchanged. Does not own: what the store
//! makes of a cut (`chaos`).
#![allow(clippy::unwrap_used, reason = "a failed unwrap is how a test fails")]
#![allow(clippy::disallowed_methods, reason = "how late a message is, and that none comes, is seen by a clock")]

use std::time::Duration;

use clawstore_loadgen::proxy::{CutPoint, Line, Proxy};
use clawstore_testkit::postgres::Database;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, query, query_scalar};

/// Only bounds a wait that fails the test.
const PATIENCE: Duration = Duration::from_secs(30);
/// In the text of what counts as a commit.
const MARKER: &str = "bump";

struct Stage {
    proxy: Proxy,
    options: PgConnectOptions,
    direct: PgConnection,
    /// Dropped when nobody is connected any more.
    _database: Database,
}

impl Stage {
    async fn open() -> Self {
        let database = Database::create();
        let options: PgConnectOptions = database.url().parse().unwrap();
        let mut direct = options.connect().await.unwrap();
        query("CREATE TABLE counter (n bigint)").execute(&mut direct).await.unwrap();
        query("INSERT INTO counter VALUES (0)").execute(&mut direct).await.unwrap();
        let proxy = Proxy::start(options.get_port(), MARKER).unwrap();
        Self { proxy, options, direct, _database: database }
    }

    async fn connect(&self) -> PgConnection {
        self.options.clone().port(self.proxy.port()).application_name("probe").connect().await.unwrap()
    }

    /// What the server has when every connection through the proxy has ended there.
    async fn settled(&mut self) -> i64 {
        let probes = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'probe'";
        while query_scalar::<_, i64>(probes).fetch_one(&mut self.direct).await.unwrap() > 0 {}
        query_scalar("SELECT n FROM counter").fetch_one(&mut self.direct).await.unwrap()
    }
}

async fn bump(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    query_scalar("UPDATE counter SET n = n + $1 RETURNING n /* bump */").bind(1_i64).fetch_one(connection).await
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

#[test]
fn each_cut_leaves_on_the_server_what_it_says() {
    run(async {
        let mut stage = Stage::open().await;
        let mut expected = 0;
        for point in CutPoint::ALL {
            let mut connection = stage.connect().await;
            assert_eq!(bump(&mut connection).await.unwrap(), expected + 1, "before {point:?}");
            stage.proxy.arm(point);
            // Neither is a commit: both pass.
            query("SELECT 1").execute(&mut connection).await.unwrap();
            assert_eq!(query_scalar::<_, i32>("SELECT $1").bind(7).fetch_one(&mut connection).await.unwrap(), 7);
            let error = bump(&mut connection).await.unwrap_err();
            assert!(matches!(error, sqlx::Error::Io(_)), "{point:?}: {error}");
            assert_eq!(stage.proxy.wait_cut(PATIENCE).unwrap(), point);
            assert!(connection.ping().await.is_err(), "{point:?}: the connection has ended");
            expected += if matches!(point, CutPoint::BeforeSend | CutPoint::MidSend) { 1 } else { 2 };
            assert_eq!(stage.settled().await, expected, "{point:?}");
        }
    });
}

#[test]
fn a_statement_without_preparation_is_known_too() {
    run(async {
        let mut stage = Stage::open().await;
        let mut connection = stage.connect().await;
        stage.proxy.arm(CutPoint::AfterCommit);
        let bump = query("UPDATE counter SET n = n + 1 /* bump */");
        assert!(bump.execute(&mut connection).await.is_err());
        assert_eq!(stage.proxy.wait_cut(PATIENCE).unwrap(), CutPoint::AfterCommit);
        assert_eq!(stage.settled().await, 1);
    });
}

#[test]
fn only_one_connection_is_cut_and_large_values_pass() {
    run(async {
        let mut stage = Stage::open().await;
        let (mut first, mut second) = (stage.connect().await, stage.connect().await);
        assert!(stage.proxy.wait_cut(Duration::ZERO).is_err(), "nothing is armed");
        stage.proxy.arm(CutPoint::BeforeSend);
        assert!(bump(&mut first).await.is_err());
        let large = "x".repeat(4 << 20);
        let back: String = query_scalar("SELECT $1::text").bind(&large).fetch_one(&mut second).await.unwrap();
        assert!(back == large);
        assert_eq!(bump(&mut second).await.unwrap(), 1);
        drop((first, second));
        assert_eq!(stage.settled().await, 1);
    });
}

#[test]
fn a_silent_line_holds_what_is_sent_and_delivers_it_later() {
    run(async {
        let mut stage = Stage::open().await;
        let mut connection = stage.connect().await;
        assert_eq!(bump(&mut connection).await.unwrap(), 1);
        stage.proxy.set_line(Line::Silent);
        // Given up by its sender, as a deadline does: what was sent is on its way all the same.
        let given_up = tokio::time::timeout(Duration::from_millis(300), bump(&mut connection)).await;
        assert!(given_up.is_err(), "nothing passes");
        assert_eq!(query_scalar::<_, i64>("SELECT n FROM counter").fetch_one(&mut stage.direct).await.unwrap(), 1);
        drop(connection);
        stage.proxy.set_line(Line::Good);
        while query_scalar::<_, i64>("SELECT n FROM counter").fetch_one(&mut stage.direct).await.unwrap() == 1 {}
        assert_eq!(stage.settled().await, 2, "it arrived late");
    });
}

#[test]
fn a_slow_line_is_late_in_both_directions_and_loses_nothing() {
    run(async {
        let stage = Stage::open().await;
        let mut connection = stage.connect().await;
        let delay = Duration::from_millis(50);
        stage.proxy.set_line(Line::Slow(delay));
        let start = std::time::Instant::now();
        assert_eq!(bump(&mut connection).await.unwrap(), 1);
        assert!(start.elapsed() >= 2 * delay, "{:?}", start.elapsed());
    });
}

#[test]
fn all_connections_are_cut_at_once_and_new_ones_go_where_they_are_sent() {
    run(async {
        let (stage, other) = (Stage::open().await, Stage::open().await);
        let (mut first, mut second) = (stage.connect().await, stage.connect().await);
        stage.proxy.cut_all();
        assert!(bump(&mut first).await.is_err() && bump(&mut second).await.is_err());
        let mut third = stage.connect().await;
        assert_eq!(bump(&mut third).await.unwrap(), 1);
        // A server of which nothing is known but its port: here the same one.
        stage.proxy.retarget(other.options.get_port());
        assert!(bump(&mut third).await.is_err(), "connections to the old one end");
        assert_eq!(bump(&mut stage.connect().await).await.unwrap(), 2);
        stage.proxy.retarget(1);
        assert!(stage.options.clone().port(stage.proxy.port()).connect().await.is_err(), "nobody is there");
    });
}
