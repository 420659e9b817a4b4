//! Private Postgres servers: what they keep when they are killed, and that nothing of them stays behind.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fmt::Display;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use clawstore_testkit::postgres::{Cluster, Database, State, StopMode};

fn answers(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}

#[test]
fn a_server_keeps_its_rows_and_its_port_over_kill_9_and_stops() {
    let mut cluster = Cluster::start().unwrap();
    let database = Database::create_on(&cluster);
    let (port, pid) = (cluster.port(), cluster.pid().unwrap());
    database.psql("CREATE TABLE kept (n int)").unwrap();
    for n in 1..=3 {
        assert_eq!(database.psql(&format!("INSERT INTO kept VALUES ({n}) RETURNING n")).unwrap(), n.to_string());
        match n {
            1 => cluster.kill().unwrap(),
            2 => cluster.stop(StopMode::Immediate).unwrap(),
            _ => cluster.stop(StopMode::Fast).unwrap(),
        }
        assert!(!answers(port), "it is down");
        assert!(cluster.pid().is_err() && cluster.kill().is_err(), "nothing to kill");
        database.psql("SELECT 1").unwrap_err();
        cluster.restart().unwrap();
        assert_eq!(database.psql("SELECT count(*) FROM kept").unwrap(), n.to_string());
    }
    assert_eq!(cluster.port(), port);
    assert_ne!(cluster.pid().unwrap(), pid);
    assert!(cluster.restart().is_err(), "it runs already");
}

#[test]
fn a_kill_9_returns_when_the_children_are_gone_too() {
    let mut cluster = Cluster::start().unwrap();
    let mut connected = connect(&cluster.url());
    let children = children_of(cluster.pid().unwrap().as_raw_nonzero());
    assert!(children.len() >= 5, "{children:?}");
    cluster.kill().unwrap();
    // One that has ended and that nobody has reaped runs no program.
    let left = children.iter().filter(|pid| Path::new("/proc").join(pid).join("exe").exists());
    assert_eq!(left.count(), 0);
    assert!(!connected.wait().unwrap().success());
}

#[test]
fn a_cluster_has_stock_settings_but_for_those_it_was_given() {
    let cluster = Cluster::start_with(&[("max_connections", "20"), ("application_name", "it's")]).unwrap();
    let database = Database::create_on(&cluster);
    let show = |name: &str| database.psql(&format!("SHOW {name}")).unwrap();
    let names = ["fsync", "full_page_writes", "synchronous_commit", "server_encoding", "lc_collate"];
    assert_eq!(names.map(show), ["on", "on", "on", "UTF8", "C"]);
    assert_eq!([show("max_connections"), show("listen_addresses")], ["20", "127.0.0.1"]);
    let application = "SELECT setting FROM pg_file_settings WHERE name = 'application_name'";
    assert_eq!(database.psql(application).unwrap(), "it's");
}

#[test]
fn a_wrong_setting_is_an_error_with_the_servers_words() {
    let error = Cluster::start_with(&[("max_connections", "many")]).unwrap_err();
    assert!(error.to_string().contains("invalid value for parameter \"max_connections\""), "{error}");
}

#[test]
fn a_dropped_cluster_leaves_nothing() {
    let cluster = Cluster::start().unwrap();
    let directory = Database::create_on(&cluster).psql("SHOW data_directory").unwrap();
    let port = cluster.port();
    assert!(Path::new(&directory).exists());
    drop(cluster);
    assert!(!answers(port) && !Path::new(&directory).parent().unwrap().exists());
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_clawstore-test-postgres");

/// A connection that stands in a statement. It ends with the server, and is how a test waits for that.
fn connect(url: &str) -> Child {
    let mut psql = Command::new("psql");
    psql.args(["-X", "-q", "-t", "-d", url, "-c", "SELECT 1", "-c", "SELECT pg_sleep(600)"]);
    let mut child = psql.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    assert!(first_line(&mut child).contains('1'), "connected");
    child
}

fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    line.trim().to_owned()
}

fn children_of(pid: impl Display) -> Vec<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    text.split_whitespace().map(str::to_owned).collect()
}

fn psql(url: &str, sql: &str) -> String {
    let output = Command::new("psql").args(["-X", "-t", "-A", "-d", url, "-c", sql]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_cluster_goes_after_a_kill_9_of_its_owner() {
    let mut owner = Command::new(PROGRAM).arg("hold").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let url = first_line(&mut owner);
    let directory = psql(&url, "SHOW data_directory");
    assert!(Path::new(&directory).exists());
    let watchman = children_of(owner.id()).pop().unwrap();
    let mut connected = connect(&url);
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(!connected.wait().unwrap().success(), "the server ended");
    let gone = ["--pid", &watchman, "-s", "0.02", "-f", "/dev/null"];
    assert!(Command::new("tail").args(gone).status().unwrap().success());
    assert!(!Path::new(&directory).parent().unwrap().exists());
}

#[test]
fn a_cluster_that_is_held_goes_when_the_input_ends() {
    let mut owner = Command::new(PROGRAM).arg("hold").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let url = first_line(&mut owner);
    assert_eq!(psql(&url, "SHOW max_connections"), "400");
    let directory = psql(&url, "SHOW data_directory");
    drop(owner.stdin.take());
    assert!(owner.wait().unwrap().success());
    assert!(!Path::new(&directory).parent().unwrap().exists());
}

fn run(words: &[&str], target: &Path) -> (bool, String) {
    let mut command = Command::new(PROGRAM);
    let output = command.arg(words[0]).arg(target).args(&words[1..]).stdin(Stdio::null()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap().trim().to_owned())
}

/// Takes down what a failed test left.
struct Down<'a>(&'a Path);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        run(&["down"], self.0);
    }
}

#[test]
fn a_server_that_is_left_running_is_found_and_taken_down() {
    let target = tempfile::tempdir().unwrap();
    let target = target.path();
    let _down = Down(target);
    let (passed, complaint) = run(&["url"], target);
    assert!(!passed && complaint.contains("cargo xtask pg up"), "{complaint}");

    let (_, url) = run(&["up"], target);
    assert_eq!(run(&["up"], target), (true, url.clone()), "the same, not a second");
    assert_eq!(run(&["url"], target), (true, url.clone()));
    assert_eq!(run(&["psql", "-tA", "-c", "SELECT 7"], target), (true, "7".to_owned()));
    let first = State::read(target).unwrap();

    // A crash, or a restart of the machine.
    let pid = psql(&url, "SELECT pg_read_file('postmaster.pid')").lines().next().unwrap().to_owned();
    let mut connected = connect(&url);
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    connected.wait().unwrap();
    let (_, url) = run(&["up"], target);
    let second = State::read(target).unwrap();
    assert!(!first.directory.exists() && second.directory.exists());
    assert_eq!(psql(&url, "SELECT 7"), "7");

    assert_eq!(run(&["down"], target), (true, String::new()));
    assert!(!second.directory.exists() && psql(&url, "SELECT 7").is_empty());
    assert!(!run(&["down"], target).0, "there is none");
}

#[test]
fn a_wrong_command_line_is_told_how() {
    for words in [&["up"][..], &["hold", "more"], &["no-such-command", "a"], &[]] {
        let output = Command::new(PROGRAM).args(words).stdin(Stdio::null()).output().unwrap();
        assert!(!output.status.success() && output.stderr.starts_with(b"error: usage: "), "{words:?}");
    }
}
