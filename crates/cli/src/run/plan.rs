//! What a run is to do, read and checked before anything is opened.
//!
//! Owns: making servers, their scripts and the timetable of the command line. Does not own: reading files (`scripts`,
//! `clawstore_luau::project`), doing it (`world`).

use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use clawstore::Profile;
use clawstore_luau::{Node, Runtime, RuntimeError, project};

use crate::args::run::{PlaceArguments, ProfileName, RunArguments, SignalBehavior};
use crate::args::values::{NamedServer, What};
use crate::exit::LoadError;
use crate::run::players::Timetable;
use crate::run::scripts::{self, Script};

/// One server.
#[derive(Debug, Clone)]
pub(crate) struct ServerPlan {
    /// Its name in output and events, and its `game.JobId`; a single server has none and gets a random job id.
    pub(crate) name: Option<String>,
    pub(crate) place: Rc<PlacePlan>,
    pub(crate) scripts: Vec<Script>,
    /// An event starts it.
    pub(crate) starts_later: bool,
    /// What else its scripts find.
    pub(crate) extra: Option<Extra>,
}

impl ServerPlan {
    /// A server that starts with the run.
    pub(crate) fn new(name: Option<String>, place: &Rc<PlacePlan>, scripts: Vec<Script>) -> Self {
        Self { name, place: Rc::clone(place), scripts, starts_later: false, extra: None }
    }
}

/// Puts something into a VM before its scripts run.
#[derive(Clone)]
pub(crate) struct Extra(pub(crate) Rc<Install>);

type Install = dyn Fn(&Runtime) -> Result<(), RuntimeError>;

impl fmt::Debug for Extra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Extra")
    }
}

/// What scripts find.
#[derive(Debug, Clone)]
pub(crate) struct PlacePlan {
    /// The tree of the project, if there is one.
    pub(crate) tree: Option<Node>,
    pub(crate) place_id: u64,
    pub(crate) job_id: Option<String>,
    pub(crate) studio: bool,
    pub(crate) deferred_signals: bool,
    pub(crate) profile: Profile,
    pub(crate) max_players: u32,
    /// CPU time of one resumption.
    pub(crate) script_timeout: Duration,
    /// Bytes of a VM.
    pub(crate) script_memory: usize,
}

impl PlacePlan {
    /// What the command line says, around this tree.
    pub(crate) fn new(place: &PlaceArguments, tree: Option<Node>) -> Self {
        Self {
            tree,
            place_id: place.place_id,
            job_id: None,
            studio: place.studio,
            deferred_signals: place.signal_behavior == SignalBehavior::Deferred,
            profile: match place.profile {
                ProfileName::Roblox => Profile::Roblox,
                ProfileName::Clawblox => Profile::Clawblox,
            },
            max_players: MAX_PLAYERS,
            script_timeout: place.script_timeout,
            script_memory: usize::try_from(place.script_memory).unwrap_or(usize::MAX).saturating_mul(1024 * 1024),
        }
    }
}

/// Something that happens to a server of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its place in `Plan::servers`.
    pub(crate) server: usize,
    pub(crate) what: What,
}

/// `Players.MaxPlayers`, unless more are simulated.
const MAX_PLAYERS: u32 = 50;

/// A whole run, but for clock and store.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) servers: Vec<ServerPlan>,
    pub(crate) timetable: Timetable,
}

impl Plan {
    /// # Errors
    /// If a script or project cannot be read or does not compile, or an event names a server that is not there.
    pub(crate) fn of(arguments: &RunArguments) -> Result<Self, LoadError> {
        let tree = tree(&arguments.place)?;
        let place = Rc::new(PlacePlan {
            job_id: arguments.servers.job_id.clone(),
            max_players: arguments.players.players.max(MAX_PLAYERS),
            ..PlacePlan::new(&arguments.place, tree)
        });
        let servers = servers(arguments, &place)?;
        let timetable = timetable(arguments, &servers)?;
        Ok(Self { servers, timetable })
    }

    /// How many scripts start by themselves.
    pub(crate) fn script_count(&self) -> usize {
        self.servers.iter().map(|server| server.scripts.len()).sum()
    }
}

/// The tree of a project and what is mounted into it.
pub(crate) fn tree(place: &PlaceArguments) -> Result<Option<Node>, LoadError> {
    let mut tree = match &place.project {
        Some(path) => Some(project::load(path).map_err(|error| LoadError(error.to_string()))?),
        None => None,
    };
    for mount in &place.mount {
        let tree = tree.get_or_insert_with(empty_game);
        project::mount(tree, &mount.instance, &mount.path).map_err(|error| LoadError(error.to_string()))?;
    }
    Ok(tree)
}

/// A game without anything in it.
pub(crate) fn empty_game() -> Node {
    Node {
        name: "game".to_owned(),
        class: "DataModel".to_owned(),
        properties: Vec::new(),
        source: None,
        children: Vec::new(),
    }
}

fn servers(arguments: &RunArguments, place: &Rc<PlacePlan>) -> Result<Vec<ServerPlan>, LoadError> {
    let common = load(&arguments.scripts)?;
    let chosen = &arguments.servers;
    let named: Vec<NamedServer> = match chosen.servers {
        Some(count) => (0..count).map(|index| NamedServer { name: letter(index), script: None }).collect(),
        None => chosen.server.clone(),
    };
    if named.is_empty() {
        return Ok(vec![ServerPlan::new(None, place, common)]);
    }
    let mut servers: Vec<ServerPlan> = Vec::new();
    for NamedServer { name, script } in named {
        if servers.iter().any(|server| server.name.as_ref() == Some(&name)) {
            return Err(LoadError(format!("there are two servers called {name}")));
        }
        let own = load(script.as_slice())?;
        let scripts = if script.is_some() { own } else { common.clone() };
        if scripts.is_empty() && place.tree.is_none() {
            return Err(LoadError(format!(
                "server {name} has no script: give it one with --server {name}:script.luau"
            )));
        }
        let started = |event: &&crate::args::values::Timed| event.server == name && event.what == What::Start;
        let starts_later = chosen.at.iter().any(|event| started(&event));
        servers.push(ServerPlan { starts_later, ..ServerPlan::new(Some(name), place, scripts) });
    }
    Ok(servers)
}

fn load(paths: &[PathBuf]) -> Result<Vec<Script>, LoadError> {
    let mut all = Vec::new();
    for path in paths {
        all.extend(scripts::load(path)?);
    }
    Ok(all)
}

/// A, B, …, Z, S27, S28, …
fn letter(index: u32) -> String {
    match u8::try_from(index) {
        Ok(small @ 0..26) => char::from(b'A' + small).to_string(),
        _ => format!("S{}", index + 1),
    }
}

fn timetable(arguments: &RunArguments, servers: &[ServerPlan]) -> Result<Timetable, LoadError> {
    let mut events: Vec<(Duration, Event)> = Vec::new();
    let players = &arguments.players;
    for player in &players.player {
        let joins = What::Join { user_id: player.user_id, name: player.name.clone() };
        events.push((player.joins, Event { server: 0, what: joins }));
        if let Some(leaves) = player.leaves {
            events.push((leaves, Event { server: 0, what: What::Leave { user_id: player.user_id } }));
        }
    }
    for event in &arguments.servers.at {
        let found = servers.iter().position(|server| server.name.as_ref() == Some(&event.server));
        let Some(server) = found else {
            let known: Vec<&str> = servers.iter().filter_map(|server| server.name.as_deref()).collect();
            let known = if known.is_empty() {
                "give servers names with --servers or --server".to_owned()
            } else {
                known.join(", ")
            };
            return Err(LoadError(format!("--at names a server {} that is not there ({known})", event.server)));
        };
        events.push((event.at, Event { server, what: event.what.clone() }));
    }
    Ok(Timetable::new(servers.len(), players.players, players.session, events))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_have_letters_and_then_numbers() {
        assert_eq!((letter(0), letter(25), letter(26)), ("A".to_owned(), "Z".to_owned(), "S27".to_owned()));
    }
}
