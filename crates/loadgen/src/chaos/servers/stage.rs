//! The database of the servers, and a line from each of them to it.
//!
//! Owns: which kind of database a run needs, one proxy per server, and pointing them at whoever is the primary. Does not own: the
//! servers (`fleet`), what is done to any of it (`strike`).

use anyhow::{Result, ensure};
use clawstore_testkit::postgres::Replication;

use super::super::mutant::Mutant;
use super::super::target::Server;
use super::super::{ChaosOptions, Fault};
use crate::proxy::Proxy;

/// In the text of the statement that commits a batch.
const COMMIT: &str = "commit_batch";

/// See the module.
pub(super) struct Stage {
    pub(super) server: Server,
    /// One per server, in their order.
    pub(super) lines: Vec<Proxy>,
}

impl Stage {
    pub(super) fn start(options: &ChaosOptions, faults: &[Fault]) -> Result<Self> {
        let (promotion, loss) = (faults.contains(&Fault::Promotion), faults.contains(&Fault::Loss));
        ensure!(!(promotion && loss), "`promotion` and `loss` need standbys of different kinds: one at a time");
        let server = match promotion || loss {
            false => Server::start()?,
            true if loss || options.mutant == Some(Mutant::AsyncStandby) => {
                Server::start_with_standby(Replication::Asynchronous)?
            }
            true => Server::start_with_standby(Replication::Synchronous)?,
        };
        let slots = 0..options.servers.unwrap_or(1);
        let lines = slots.map(|_| Proxy::start(server.cluster().port(), COMMIT)).collect::<Result<_, _>>()?;
        Ok(Self { server, lines })
    }

    /// As a server process takes it: through its line, under a name of its own.
    pub(super) fn url(&self, slot: usize, name: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres?application_name={name}", self.lines[slot].port())
    }

    /// All lines go to the primary of now.
    pub(super) fn retarget(&self) {
        let port = self.server.cluster().port();
        self.lines.iter().for_each(|line| line.retarget(port));
    }
}
