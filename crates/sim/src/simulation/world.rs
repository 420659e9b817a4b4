//! A run: servers, a database, faults, and an end.
//!
//! Owns: what an event does to whom, when faults end, when a run is over. Does not own: servers (`server`), the database (`store`),
//! what is right (`checks`).

use std::time::Duration;

use super::checks;
use super::context::{Context, Event};
use super::faults::{self, Fault};
use super::history::End;
use super::report::Report;
use super::rng::Rng;
use super::server::Server;
use super::setup::{Options, Setup};
use super::store::Store;
use super::trace::{Line, Who};

/// From the end of the faults until every server writes every key: a dead owner is found out in that time.
const HEALING: Duration = Duration::from_secs(9);
/// For what is late after the last call has ended.
const QUIET: Duration = Duration::from_secs(3);
/// A call may be late by this much, also after a server has stood still.
const LATE: Duration = Duration::from_secs(1);

struct World {
    context: Context,
    store: Store,
    servers: Vec<Server>,
    /// Faults that took effect.
    faults: usize,
}

/// Runs a seed.
pub fn run(seed: u64, options: Options) -> (Report, Vec<Line>) {
    let mut rng = Rng::new(seed);
    let setup = Setup::draw(options, &mut rng);
    let mut context = Context::new(seed, setup, rng);
    let store = Store::new(&context);
    for server in 0..options.servers {
        context.after(Duration::ZERO, Event::Start(server));
    }
    faults::plan(&mut context);
    let active = context.setup.active;
    context.after(active, Event::Heal);
    let servers = (0..options.servers).map(Server::new).collect();
    let mut world = World { context, store, servers, faults: 0 };
    while let Some(event) = world.context.next_event() {
        if matches!(event, Event::End) {
            break;
        }
        world.handle(event);
    }
    world.finish(seed)
}

impl World {
    fn handle(&mut self, event: Event) {
        let context = &mut self.context;
        match event {
            Event::Server(me, event) => self.servers[me.server].handle(context, me, event),
            Event::Store(starts, event) => self.store.handle(context, starts, event),
            Event::Fault(fault) => {
                if !context.is_healed {
                    self.begin(fault);
                }
            }
            Event::Start(server) => self.servers[server].start(context),
            Event::Heal => self.heal(),
            // Not before all other calls have been made.
            Event::Probe if context.calls_are_left() => context.after(HEALING / 6, Event::Probe),
            Event::Probe => {
                context.note(Who::World, "every server writes every key", 0, 0);
                context.is_probing = true;
                for server in &mut self.servers {
                    server.probe(&mut self.context);
                }
                let until = self.context.patience() + LATE + QUIET;
                self.context.after(until, Event::End);
            }
            Event::End => {}
        }
    }

    /// A fault that cannot happen now is a lost connection instead.
    fn begin(&mut self, fault: Fault) {
        let ends = matches!(fault, Fault::Thaw(_) | Fault::LetThrough(_) | Fault::Steady(_) | Fault::Fast);
        self.context.note(Who::World, if ends { "a fault ends" } else { "a fault" }, 0, 0);
        if ends {
            return self.end(fault);
        }
        let mut happens = self.try_begin(fault);
        for server in 0..self.servers.len() {
            happens = happens || self.try_begin(Fault::Cut(server));
        }
        self.faults += usize::from(happens);
    }

    /// False: it cannot happen now.
    fn try_begin(&mut self, fault: Fault) -> bool {
        let context = &mut self.context;
        match fault {
            Fault::Kill(server, down) => {
                let is_killed = self.servers[server].kill(context);
                self.store.connection_is_lost(server);
                if is_killed {
                    context.after(down, Event::Start(server));
                }
                is_killed
            }
            Fault::Freeze(server, wait) => {
                let is_frozen = self.servers[server].freeze(context);
                if is_frozen {
                    context.after(wait, Event::Fault(Fault::Thaw(server)));
                }
                is_frozen
            }
            Fault::Cut(server) => {
                self.store.connection_is_lost(server);
                self.servers[server].cut(context)
            }
            Fault::BlackHole(server, wait) => {
                context.note(Who::World, "nothing comes through to server {a}", server as u64, 0);
                context.net.hold_up(server);
                context.after(wait, Event::Fault(Fault::LetThrough(server)));
                true
            }
            Fault::Flaky(server, wait) => {
                context.note(Who::World, "server {a} loses connections", server as u64, 0);
                context.net.lose(server, 15);
                context.after(wait, Event::Fault(Fault::Steady(server)));
                true
            }
            Fault::Slow(wait) => {
                self.store.slow_down(context.setup.slowness());
                context.after(wait, Event::Fault(Fault::Fast));
                true
            }
            Fault::Crash(down) => self.store.crash(context, down),
            Fault::FailOver(down) => self.store.fail_over(context, down),
            Fault::FalseDeath(server) => {
                let incarnation = self.servers[server].incarnation();
                incarnation.is_some_and(|incarnation| self.store.declare_dead(context, incarnation))
            }
            Fault::StandbyStalls(wait) => self.store.stall_standby(context, wait),
            Fault::CancelledWait => self.store.cancel_wait(context),
            Fault::ActorDies(server) => self.servers[server].lose_actor(context),
            Fault::VmEnds(server) => self.servers[server].end_vm(context),
            Fault::Thaw(_) | Fault::LetThrough(_) | Fault::Steady(_) | Fault::Fast => false,
        }
    }

    fn end(&mut self, fault: Fault) {
        match fault {
            Fault::Thaw(server) => self.servers[server].thaw(&mut self.context),
            Fault::LetThrough(server) => self.context.let_through(server),
            Fault::Steady(server) => self.context.net.lose(server, 0),
            Fault::Fast => self.store.slow_down(1),
            _ => {}
        }
    }

    /// All faults end. What has been asked by then must end in time, and every key must be writable again.
    fn heal(&mut self) {
        if self.faults < self.context.setup.options.faults {
            // Some of the plan came to nothing.
            self.begin(Fault::Cut(0));
            return self.context.after(HEALING / 20, Event::Heal);
        }
        self.context.note(Who::World, "all faults end", 0, 0);
        self.store.slow_down(1);
        for server in 0..self.servers.len() {
            self.context.net.lose(server, 0);
            self.context.let_through(server);
            self.servers[server].thaw(&mut self.context);
            self.servers[server].start(&mut self.context);
        }
        self.context.is_healed = true;
        self.context.after(HEALING, Event::Probe);
    }

    fn finish(mut self, seed: u64) -> (Report, Vec<Line>) {
        let stood_still: Vec<_> = self.servers.iter().map(Server::stood_still).collect();
        let context = &mut self.context;
        if context.history.open > 0 {
            let open = context.history.count(|end| *end == End::Open);
            context.violated(format!("I11: {open} calls never end"));
        }
        if context.losses > 0 && context.setup.options.mutant.is_none() {
            let losses = context.losses;
            context.violated(format!("{losses} losses were reported, and there were none"));
        }
        let mut found = checks::all(context, self.store.rows(), &stood_still, LATE);
        context.note(Who::World, "the end", 0, 0);
        let mut broken = std::mem::take(&mut context.broken);
        broken.append(&mut found);
        let history = &context.history;
        let report = Report {
            seed,
            calls: history.calls.len(),
            acked: history.count(|end| matches!(end, End::Ok(_) | End::Cancelled)),
            failed: history.count(|end| matches!(end, End::Failed | End::Raised)),
            unknown: history.count(|end| *end == End::Unknown),
            lost: history.count(|end| *end == End::Lost),
            faults: self.faults,
            lines: context.trace.count(),
            digest: context.trace.digest(),
            broken,
        };
        (report, self.context.trace.into_lines())
    }
}
