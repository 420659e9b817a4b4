//! Every class of error, raised by a server.
#![allow(clippy::unwrap_used, reason = "a test")]

use clawstore_testkit::postgres::Database;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use super::*;

/// What a batch and a call make of a code, and whether their session ends and the call is tried again.
async fn meaning(session: &mut PgConnection, code: &str) -> (BackendErrorKind, BackendErrorKind, bool, bool) {
    let sql = format!("DO $$ BEGIN RAISE EXCEPTION 'as asked' USING ERRCODE = '{code}'; END $$");
    let failure = Failure::Answered(sqlx::raw_sql(AssertSqlSafe(sql)).execute(session).await.unwrap_err());
    let [batch, call] = [true, false].map(|commit| failure.backend_error("it", commit));
    assert!(batch.message.ends_with(&format!("as asked ({code})")), "{batch}");
    assert_eq!(batch.kind == BackendErrorKind::Unknown, batch.message.starts_with("it may have happened"), "{batch}");
    (batch.kind, call.kind, failure.ends_session(), failure.is_lost_session())
}

#[test]
fn kinds_of_codes() {
    use BackendErrorKind::{Corrupt, Internal, Invalid, Unavailable, Unknown};
    let database = Database::create();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cases = [
        // The batch itself.
        ("22003", Invalid, Invalid, false, false),
        ("23505", Invalid, Invalid, false, false),
        ("54000", Invalid, Invalid, false, false),
        // No partition: a CHECK would have a name.
        ("23514", Unavailable, Unavailable, false, false),
        // Others at work.
        ("40P01", Unavailable, Unavailable, false, false),
        ("40001", Unavailable, Unavailable, false, false),
        ("55P03", Unavailable, Unavailable, false, false),
        ("57014", Unavailable, Unavailable, true, false),
        // The server.
        ("53100", Unavailable, Unavailable, true, false),
        ("53300", Unavailable, Unavailable, true, false),
        ("58030", Unavailable, Unavailable, true, false),
        ("25006", Unavailable, Unavailable, true, true),
        ("57P03", Unavailable, Unavailable, true, true),
        ("57P01", Unknown, Unavailable, true, true),
        ("57P02", Unknown, Unavailable, true, true),
        ("40003", Unknown, Unavailable, false, false),
        ("08006", Unknown, Unavailable, true, true),
        // What is stored, and our own statements.
        ("XX001", Corrupt, Corrupt, true, false),
        ("42P01", Internal, Internal, true, false),
        ("42501", Internal, Internal, true, false),
        ("XX000", Internal, Internal, true, false),
    ];
    runtime.block_on(async {
        let mut session = PgConnection::connect(&database.url()).await.unwrap();
        for (code, batch, call, ends, lost) in cases {
            assert_eq!(meaning(&mut session, code).await, (batch, call, ends, lost), "{code}");
        }
    });
}

#[test]
fn what_was_not_sent_was_not_done() {
    use BackendErrorKind::{Unavailable, Unknown};
    let kinds = |failure: Failure| [true, false].map(|commit| failure.backend_error("it", commit).kind);
    let refused = OpenError::Unreachable { server: "here".into(), detail: "refused".into() };
    assert_eq!(kinds(Failure::NotConnected(refused)), [Unavailable, Unavailable]);
    assert_eq!(kinds(Failure::Late { sent: false }), [Unavailable, Unavailable]);
    assert_eq!(kinds(Failure::Late { sent: true }), [Unknown, Unavailable]);
    assert_eq!(kinds(Failure::Answered(sqlx::Error::Protocol("cut".into()))), [Unknown, Unavailable]);
}
