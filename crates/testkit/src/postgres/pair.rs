//! A server with a standby that can take over.
//!
//! Owns: making the standby of a running server, cutting it off and connecting it again, and its promotion. Does not own: each
//! server by itself (`cluster`), who is told where the primary is.

use std::io::{Error, ErrorKind, Result};

use super::Cluster;
use super::programs::{as_server_user, output_of, server_program};

/// By which name the primary knows its standby.
const NAME: &str = "standby";

/// A standby that lost its primary asks again after this; stock settings would make every test wait for 5 s.
const RETRY: (&str, &str) = ("wal_retrieve_retry_interval", "100ms");

/// Does a commit wait for the standby?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    /// It is answered when the standby has it on its disk. Without a standby it waits, as `synchronous_mode_strict` of Patroni
    /// has it: what a promoted standby is asked to commit is answered when it has a standby itself.
    Synchronous,
    /// It does not. A promotion loses what has not arrived yet.
    Asynchronous,
}

/// A primary and a standby, each with a port of its own. Both go when this is dropped.
#[derive(Debug)]
pub struct Pair {
    primary: Cluster,
    /// From its making until its promotion.
    standby: Option<Cluster>,
    replication: Replication,
}

impl Pair {
    /// Starts both, and waits until the standby has everything and is waited for. Takes about three seconds.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub fn start(replication: Replication) -> Result<Self> {
        Self::start_with(replication, &[])
    }

    /// As [`start`](Self::start), with settings for both.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub fn start_with(replication: Replication, settings: &[(&str, &str)]) -> Result<Self> {
        let waits = match replication {
            // From the start: nobody can see when a running server has taken the setting over.
            Replication::Synchronous => NAME,
            Replication::Asynchronous => "",
        };
        let ours = [("synchronous_standby_names", waits), RETRY];
        let all: Vec<_> = ours.into_iter().chain(settings.iter().copied()).collect();
        let mut pair = Self { primary: Cluster::start_with(&all)?, standby: None, replication };
        pair.add_standby()?;
        Ok(pair)
    }

    /// The server that takes writes.
    pub const fn primary(&self) -> &Cluster {
        &self.primary
    }

    /// The same, to be killed, stopped or started again.
    pub const fn primary_mut(&mut self) -> &mut Cluster {
        &mut self.primary
    }

    /// The server that follows.
    ///
    /// # Errors
    /// `NotFound` after a promotion, until there is another.
    pub fn standby(&self) -> Result<&Cluster> {
        self.standby.as_ref().ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no standby"))
    }

    /// Makes a standby from what the primary has now, and waits until it follows. Takes about a second.
    ///
    /// # Errors
    /// If there is one, the primary does not run, or a program fails.
    pub fn add_standby(&mut self) -> Result<()> {
        if self.standby.is_some() {
            return Err(Error::new(ErrorKind::AlreadyExists, "there is a standby"));
        }
        let mut standby = Cluster::without_data()?;
        // Not by the name of the standby: the copying must not count as one that has what was committed.
        let copy = format!("host=127.0.0.1 port={} user=postgres application_name=copy", self.primary.port());
        let options = ["--checkpoint=fast", "--wal-method=stream", "--no-sync"];
        let mut program = as_server_user(server_program("pg_basebackup")?);
        output_of(program.args(options).arg("-D").arg(standby.data()).arg("-d").arg(copy))?;
        output_of(as_server_user("touch").arg(standby.data().join("standby.signal")))?;
        standby.configure(&[])?;
        // The primary's own settings of this kind were copied too, and count before those of the file.
        standby.alter_system("primary_conninfo", &self.followed())?;
        standby.start_on_a_free_port()?;
        self.standby = Some(standby);
        self.wait_until_followed(true)
    }

    /// Cuts the standby off: it hears nothing more, and a synchronous primary waits. Returns when that is so.
    ///
    /// # Errors
    /// If there is no standby, or one of the servers does not run.
    pub fn cut(&self) -> Result<()> {
        self.follow("")?;
        self.wait_until_followed(false)
    }

    /// Connects the standby again. Returns when it has caught up.
    ///
    /// # Errors
    /// As [`cut`](Self::cut).
    pub fn connect(&self) -> Result<()> {
        self.follow(&self.followed())?;
        self.wait_until_followed(true)
    }

    /// Makes the standby the primary, whatever it has got, and returns when it takes writes. The old primary is returned as it is:
    /// kill it before, and nothing of it is left; or let it run, as in a network that is split.
    ///
    /// # Errors
    /// If there is no standby, or it does not run.
    pub fn promote(&mut self) -> Result<Cluster> {
        let standby = self.standby.take().ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no standby"))?;
        let answer = standby.psql("SELECT pg_promote()");
        let old = std::mem::replace(&mut self.primary, standby);
        match answer?.as_str() {
            "t" => Ok(old),
            _ => Err(Error::new(ErrorKind::TimedOut, "the standby was not promoted within a minute")),
        }
    }

    /// The connection that a standby has to the primary.
    fn followed(&self) -> String {
        format!("host=127.0.0.1 port={} user=postgres application_name={NAME}", self.primary.port())
    }

    fn follow(&self, whom: &str) -> Result<()> {
        let standby = self.standby()?;
        standby.psql(&format!("ALTER SYSTEM SET primary_conninfo = '{whom}'"))?;
        standby.psql("SELECT pg_reload_conf()").map(|_| ())
    }

    /// Asks the primary, again and again: it tells nobody by itself.
    fn wait_until_followed(&self, follows: bool) -> Result<()> {
        let counts = match (follows, self.replication) {
            (false, _) => "",
            (true, Replication::Synchronous) => "AND state = 'streaming' AND sync_state = 'sync'",
            (true, Replication::Asynchronous) => "AND state = 'streaming'",
        };
        let sql = format!("SELECT count(*) FROM pg_stat_replication WHERE application_name = '{NAME}' {counts}");
        while (self.primary.psql(&sql)? == "1") != follows {
            // A standby that has ended will never follow.
            self.standby()?.psql("SELECT 1")?;
        }
        Ok(())
    }
}
