//! A primary and its standby: what a promotion keeps, and what it loses.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::net::TcpStream;

use clawstore_testkit::postgres::{Pair, Replication};

#[test]
fn a_synchronous_standby_has_everything_that_was_answered() {
    let mut pair = Pair::start_with(Replication::Synchronous, &[("max_connections", "30")]).unwrap();
    assert_eq!(["fsync", "synchronous_standby_names"].map(|name| show(&pair, name)), ["on", "standby"]);
    assert_eq!(show(&pair, "max_connections"), "30");
    pair.primary().psql("CREATE TABLE kept (n int)").unwrap();
    // More than one promotion: the standby of a promoted one is as good.
    for n in 1..=2 {
        pair.primary().psql(&format!("INSERT INTO kept VALUES ({n})")).unwrap();
        assert_eq!(pair.standby().unwrap().psql("SELECT pg_is_in_recovery()").unwrap(), "t");
        let port = pair.primary().port();
        pair.primary_mut().kill().unwrap();
        drop(pair.promote().unwrap());
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "it is gone");
        assert_eq!(pair.primary().psql("SELECT count(*) FROM kept").unwrap(), n.to_string());
        assert!(pair.standby().is_err() && pair.promote().is_err());
        pair.add_standby().unwrap();
        assert!(pair.add_standby().is_err(), "there is one");
    }
    assert_eq!(timeline(&pair), "00000003");
}

fn show(pair: &Pair, name: &str) -> String {
    pair.primary().psql(&format!("SHOW {name}")).unwrap()
}

fn timeline(pair: &Pair) -> String {
    pair.primary().psql("SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)").unwrap()
}

#[test]
fn an_asynchronous_standby_lacks_what_was_written_while_it_was_cut_off() {
    let mut pair = Pair::start(Replication::Asynchronous).unwrap();
    pair.primary().psql("CREATE TABLE kept (n int)").unwrap();
    pair.cut().unwrap();
    pair.primary().psql("INSERT INTO kept VALUES (1)").unwrap();
    pair.connect().unwrap();
    pair.cut().unwrap();
    pair.primary().psql("INSERT INTO kept VALUES (2)").unwrap();
    let old = pair.promote().unwrap();
    assert_eq!(old.psql("SELECT count(*) FROM kept").unwrap(), "2", "it still runs");
    let rows = pair.primary().psql("SELECT n FROM kept");
    assert!(["", "1"].contains(&rows.unwrap().as_str()), "the first may have been caught up with, the second cannot");
    pair.add_standby().unwrap();
    assert_eq!(pair.standby().unwrap().psql("SELECT pg_is_in_recovery()").unwrap(), "t");
}

/// Whoever commits waits, and what is not answered may be lost.
#[test]
fn a_synchronous_primary_without_its_standby_answers_no_commit() {
    let pair = Pair::start(Replication::Synchronous).unwrap();
    pair.cut().unwrap();
    let url = pair.primary().url();
    let commit = std::process::Command::new("psql").args(["-X", "-d", &url, "-c", "CREATE TABLE late ()"]).spawn();
    let mut commit = commit.unwrap();
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    while pair.primary().psql(waits).unwrap() != "1" {
        assert_eq!(commit.try_wait().unwrap(), None);
    }
    pair.connect().unwrap();
    assert!(commit.wait().unwrap().success());
}
