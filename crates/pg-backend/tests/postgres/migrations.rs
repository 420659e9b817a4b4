//! Bringing a database to the schema of this binary, from whatever it is.

use clawstore_core::backend::{Backend, GiveBack, Kept, ReadEntries, ScanEntries, VersionQuery};
use clawstore_postgres::{OpenError, PgBackend, PgConnectOptions, PgSettings, migrate};
use clawstore_testkit::postgres::Database;

use crate::support::{FENCE, block_on, first, key, open_here, options, write_new};

/// Tables that are left when everything is undone: the table of migrations itself.
const TABLES: &str =
    "SELECT string_agg(table_name, ' ') FROM information_schema.tables WHERE table_schema = 'clawstore'";

async fn open_error(database: &Database, migrate: bool) -> OpenError {
    let settings = {
        let mut settings = PgSettings::default();
        settings.migrate = migrate;
        settings
    };
    PgBackend::open(options(database), settings).await.unwrap_err()
}

#[test]
fn up_down_and_up_again_with_data() {
    let database = Database::create();
    block_on(async {
        let options = options(&database);
        let before = migrate::status(&options).await.unwrap();
        assert!(before.iter().all(|step| !step.applied && step.known));
        let applied = migrate::up(&options).await.unwrap();
        assert!(applied.len() == before.len() && applied.iter().all(|step| step.applied));
        assert_eq!(migrate::up(&options).await.unwrap(), [], "nothing is left to do");
        assert_eq!(migrate::status(&options).await.unwrap(), applied);

        let backend = open_here(&database).await;
        write_new(&backend, &[key("k")], &first("1")).await;
        for step in applied.iter().rev() {
            let reverted = migrate::down(&options).await.unwrap().unwrap();
            assert_eq!(reverted.version, step.version);
        }
        assert_eq!(migrate::down(&options).await.unwrap(), None);
        assert_eq!(database.psql(TABLES).unwrap().trim(), "migration");

        let backend = open_here(&database).await;
        write_new(&backend, &[key("k")], &first("2")).await;
        assert_eq!(backend.read_entries(vec![key("k")]).await, Ok(vec![first("2")]));
    });
}

/// Undoes everything back to this step, and that too.
async fn down_to(options: &PgConnectOptions, description: &str) {
    while migrate::down(options).await.unwrap().expect("there is such a step").description != description {}
}

/// A server of the release before goes on beside ours: it writes what it owns, and nothing that is shared. Without this step,
/// shared keys are free.
#[test]
fn a_server_from_before_sharing_writes_what_it_owns() {
    let database = Database::create();
    block_on(async {
        let backend = open_here(&database).await;
        write_new(&backend, &[key("owned"), key("shared")], &first("1")).await;
        let given = GiveBack { key: key("shared"), fence: FENCE, share: Some(FENCE) };
        backend.leases().unwrap().release(vec![given]).await.unwrap();
        let answer = database.psql(
            "SELECT state, fenced_rows FROM clawstore.commit_batch_v1(1, 0::smallint, 2, 2, \
             ARRAY(SELECT id FROM clawstore.store, generate_series(1, 2)), '{global,global}', '{owned,shared}', '{7,7}', \
             '{1,1}', '{2,2}', '{1,1}', '{2,2}', '{2,2}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
        );
        assert_eq!(answer.unwrap().trim(), "committed|{2}");
        let sharing = || database.psql("SELECT key FROM clawstore.entry WHERE mode = 1").unwrap().trim().to_owned();
        assert_eq!(sharing(), "shared");
        down_to(&options(&database), "sharing").await;
        assert_eq!(sharing(), "");
        let free = database.psql("SELECT key FROM clawstore.entry WHERE owner IS NULL AND fence IS NULL").unwrap();
        assert_eq!(free.trim(), "shared");
    });
}

/// Data of the release before history had times: it is listed as if it had been written since.
#[test]
fn what_was_written_before_has_its_times() {
    let database = Database::create();
    block_on(async {
        let options = options(&database);
        migrate::up(&options).await.unwrap();
        down_to(&options, "history").await;
        database.psql(BEFORE).unwrap();
        let backend = open_here(&database).await;
        let stores =
            database.psql("SELECT name, created, updated FROM clawstore.store ORDER BY id").unwrap().trim().to_owned();
        assert_eq!(stores, "Coins|1|30\nTop|2|40\nEmpty||");
        let removed = database.psql("SELECT key, removed FROM clawstore.entry ORDER BY key").unwrap().trim().to_owned();
        assert_eq!(removed, "acquired|\ngone|30\nk|\nnumber|-1");
        let query = VersionQuery {
            key: key("k"),
            descending: true,
            from: None,
            to: None,
            after: None,
            kept: Kept::default(),
            limit: 10,
        };
        let listed = backend.list_versions(query).await.unwrap();
        assert_eq!(listed.iter().map(|version| version.id.revision).collect::<Vec<_>>(), [2, 1]);
        // And back, with versions that the older order could not tell apart.
        database
            .psql(
                "INSERT INTO clawstore.version (revision, created, updated, superseded, store, day, scope, key, value) \
                 SELECT revision, created, updated + 1, superseded + 1, store, day, scope, key, 'newer' FROM clawstore.version",
            )
            .unwrap();
        down_to(&options, "history").await;
        assert_eq!(database.psql("SELECT value FROM clawstore.version").unwrap().trim(), "newer");
    });
}

/// Keys as the release before wrote them: live with a version, removed, removed from an ordered store, acquired only.
const BEFORE: &str = "
    INSERT INTO clawstore.game (external_id) VALUES ('1');
    INSERT INTO clawstore.store (game, kind, name)
        SELECT id, kind, name FROM clawstore.game,
        (VALUES (1, 'standard', 'Coins'), (2, 'ordered', 'Top'), (3, 'standard', 'Empty')) AS store (n, kind, name) ORDER BY n;
    INSERT INTO clawstore.entry (store, scope, key, revision, created, updated, value)
        SELECT id, 'global', entry.key, revision, entry.created, entry.updated, value FROM clawstore.store JOIN
        (VALUES ('Coins', 'k', 2, 1, 20, '2'), ('Coins', 'gone', 2, 5, 30, NULL), ('Top', 'number', 2, 2, 40, NULL),
            ('Coins', 'acquired', 0, 0, 0, NULL)) AS entry (name, key, revision, created, updated, value) USING (name);
    INSERT INTO clawstore.version (revision, created, updated, superseded, store, day, scope, key, value)
        SELECT 1, 1, 1, 20, id, (now() AT TIME ZONE 'UTC')::date, 'global', 'k', '1' FROM clawstore.store WHERE name = 'Coins';
";

/// Each finds the schema as it needs it, whoever made it.
#[test]
fn ten_processes_start_at_once_on_an_empty_database() {
    let database = Database::create();
    let start = || {
        std::thread::scope(|scope| {
            let starts: Vec<_> = (0..10).map(|_| scope.spawn(|| block_on(open_here(&database)))).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect::<Vec<_>>()
        })
    };
    assert_eq!(start().len(), 10);
    assert_eq!(database.psql("SELECT count(*) FROM clawstore.migration").unwrap().trim(), "3");
}

/// Another product's migrations, in another schema, are neither read nor touched.
#[test]
fn beside_the_migrations_of_an_engine() {
    let database = Database::create();
    database
        .psql(
            "CREATE TABLE _sqlx_migrations (version bigint PRIMARY KEY, description text NOT NULL, installed_on timestamptz \
             NOT NULL DEFAULT now(), success boolean NOT NULL, checksum bytea NOT NULL, execution_time bigint NOT NULL); \
             INSERT INTO _sqlx_migrations VALUES (1, 'theirs', now(), true, '\\x00', 1); \
             CREATE TABLE game (id uuid); CREATE TABLE entry (id uuid)",
        )
        .unwrap();
    block_on(async {
        let backend = open_here(&database).await;
        write_new(&backend, &[key("k")], &first("1")).await;
        while migrate::down(&options(&database)).await.unwrap().is_some() {}
    });
    assert_eq!(database.psql("SELECT description FROM _sqlx_migrations").unwrap().trim(), "theirs");
    assert_eq!(database.psql("SELECT count(*) FROM game").unwrap().trim(), "0");
}

/// Servers are replaced one after the other: the old ones go on while the schema is one step ahead, not two.
#[test]
fn a_schema_one_step_ahead_will_do() {
    let database = Database::create();
    block_on(async {
        open_here(&database).await;
        let newer = "INSERT INTO clawstore.migration VALUES (29990101000000, 'newer', now(), true, '\\x00', 1)";
        database.psql(newer).unwrap();
        let backend = open_here(&database).await;
        write_new(&backend, &[key("k")], &first("1")).await;
        let steps = migrate::status(&options(&database)).await.unwrap();
        assert!(steps.last().is_some_and(|step| step.applied && !step.known && step.description == "newer"));
        let error = migrate::down(&options(&database)).await.unwrap_err();
        assert!(matches!(error, OpenError::SchemaNewer { ahead: 1 }), "this binary does not know how: {error}");

        database.psql(&newer.replace("29990101", "29990102")).unwrap();
        let error = open_error(&database, true).await;
        assert!(matches!(error, OpenError::SchemaNewer { ahead: 2 }), "{error}");
    });
}

#[test]
fn what_is_missing_is_named_where_it_may_not_be_made() {
    let database = Database::create();
    block_on(async {
        let error = open_error(&database, false).await;
        assert!(matches!(error, OpenError::SchemaOlder { .. }) && error.to_string().contains("clawstore migrate up"));
        assert_eq!(database.psql("SELECT count(*) FROM pg_namespace WHERE nspname = 'clawstore'").unwrap().trim(), "0");
        open_here(&database).await;
        database.psql("UPDATE clawstore.migration SET checksum = '\\x00'").unwrap();
        let error = open_error(&database, true).await;
        assert!(matches!(error, OpenError::SchemaOther { .. }), "{error}");
    });
}

#[test]
fn databases_that_cannot_be_opened_say_why() {
    let database = Database::create();
    let name = "SELECT current_database()";
    let latin = format!("{}_latin", database.psql(name).unwrap().trim());
    let create = "CREATE DATABASE {} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";
    database.psql(&create.replace("{}", &latin)).unwrap();
    block_on(async {
        let open = |options| PgBackend::open(options, PgSettings::default());
        let error = open(options(&database).database(&latin)).await.unwrap_err();
        assert!(matches!(&error, OpenError::Encoding { found } if found == "LATIN1"), "{error}");
        let error = open(options(&database).database("no_such_database")).await.unwrap_err();
        assert!(matches!(error, OpenError::Refused { .. }), "{error}");
        let error = open(options(&database).username("nobody_of_this_name")).await.unwrap_err();
        assert!(matches!(error, OpenError::Refused { .. }), "{error}");
        let error = open(options(&database).host("127.0.0.1").port(1)).await.unwrap_err();
        assert!(matches!(error, OpenError::Unreachable { .. }), "{error}");
    });
    database.psql(&format!("DROP DATABASE {latin}")).unwrap();
}
