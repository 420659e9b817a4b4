//! A process with two servers of one game, each with a host of its own kind.

use std::sync::Arc;

use clawstore_actors::{Config, LifeCycleError, Purge};
use clawstore_core::GameId;
use clawstore_core::backend::Backend;
use clawstore_core::clock::Clock;
use clawstore_core::versioning::Versioning;

use crate::host::{Host, Kind, Store};
use crate::place::Place;
use crate::tokens::Ids;

/// From a start to the next.
pub(crate) struct Server {
    game: GameId,
    number: u64,
    // In this order they close.
    hosts: Vec<Host>,
    store: Store,
    backend: Arc<dyn Backend>,
}

impl Server {
    pub(crate) fn start(place: &Place, number: u64, clock: Arc<dyn Clock>, versioning: &Versioning, ids: &Ids) -> Self {
        let config = Config { versioning: versioning.clone(), ..Config::default() };
        let (store, backend) = Store::at(place, clock, config);
        let mut server = Self { game: GameId::Number(number), number, hosts: Vec::new(), store, backend };
        server.open(ids);
        server
    }

    fn open(&mut self, ids: &Ids) {
        let game = self.store.game(self.number);
        for kind in [Kind::Polling, Kind::Scheduler] {
            let host = Host::new(&game, kind);
            host.lua.load(include_str!("describe.luau")).set_name("=describe").exec().expect("describe");
            self.hosts.push(host);
        }
        self.know(ids);
    }

    /// Tells scripts the ids of versions.
    pub(crate) fn know(&self, known: &Ids) {
        for host in &self.hosts {
            let ids: mlua::Table = host.lua.globals().get("ids").unwrap();
            known.known().for_each(|(number, id)| ids.raw_set(number, id).unwrap());
        }
    }

    pub(crate) fn close(mut self) {
        self.hosts.clear();
        self.store.drain();
    }

    /// Runs a line as a script of its own; what it returned or raised.
    pub(crate) fn call(&self, host: usize, source: &str) -> String {
        let host = &self.hosts[host];
        host.start("line", &format!("outcome = nil outcome = outcome_of(function() return {source} end)"));
        host.run();
        host.lua.globals().get("outcome").unwrap_or_else(|error| panic!("{source}: {error}"))
    }

    /// Is it the first of its day?
    pub(crate) fn snapshot(&self) -> bool {
        self.store.runtime.block_on(self.store.process.take_snapshot(self.game)).unwrap().is_new
    }

    /// What the process does now and then.
    pub(crate) fn sweep(&self, versioning: &Versioning, clock: &dyn Clock) {
        let sweep = Arc::new(versioning.sweep(&[self.game], clock));
        while self.store.runtime.block_on(self.backend.expire(Arc::clone(&sweep))).unwrap() >= sweep.rows {}
    }

    /// Deletes the game, with no server open; `false` if there was nothing to delete.
    pub(crate) fn delete(&mut self, ids: &Ids) -> bool {
        self.hosts.clear();
        let deleted = self.store.runtime.block_on(self.store.process.delete_game(self.game));
        self.open(ids);
        match deleted {
            Ok(_) => true,
            Err(LifeCycleError::NoData(_)) => false,
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn restore(&self) {
        self.store.runtime.block_on(self.store.process.restore_game(self.game)).unwrap();
    }

    pub(crate) fn purge(&self) {
        self.store.runtime.block_on(self.store.process.purge_game(self.game, Purge::Now)).unwrap();
    }
}
