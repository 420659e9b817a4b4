//! A database per test, on the server that all tests share.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use clawstore_testkit::postgres::Database;

#[test]
fn tests_do_not_see_each_others_tables() {
    let (one, other) = (Database::create(), Database::create());
    one.psql("CREATE TABLE mine (text text); INSERT INTO mine VALUES (' a'), ('b')").unwrap();
    assert_eq!(one.psql("SELECT text, length(text) FROM mine").unwrap(), " a|2\nb|1");
    let error = other.psql("SELECT text FROM mine").unwrap_err();
    assert!(error.to_string().contains("relation \"mine\" does not exist"), "{error}");
}

#[test]
fn a_database_goes_with_whoever_is_connected() {
    let (database, other) = (Database::create(), Database::create());
    let count = "SELECT count(*) FROM pg_database WHERE datname = '";
    let count = format!("{count}{}'", database.psql("SELECT current_database()").unwrap());
    assert_eq!(other.psql(&count).unwrap(), "1");

    let url = database.url();
    let mut psql = Command::new("psql");
    psql.args(["-X", "-q", "-t", "-d", &url, "-c", "SELECT 1", "-c", "SELECT pg_sleep(600)"]);
    let mut connected = psql.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(connected.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    drop(database);
    assert!(!connected.wait().unwrap().success());
    assert_eq!(other.psql(&count).unwrap(), "0");
}
