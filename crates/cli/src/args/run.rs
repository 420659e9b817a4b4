//! The options of `clawstore run`.
//!
//! Owns: names, defaults and help. Does not own: the grammar of their values (`values`), what a run does with them (`plan`).

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use regex::Regex;

use super::values::{Counted, Mount, NamedServer, Range, Timed, TimedPlayer, duration};
use super::{DatabaseArgument, GameArgument};
use crate::run::faults::FaultRule;

#[derive(Debug, Args)]
#[command(after_help = "\
A run ends at --until, SIGINT or SIGTERM, at --max-sim or --max-real, when the last simulated player has left and nothing else
is due, or when nothing is left that could run. Then players leave, BindToClose functions run, and what was accepted is saved.

Exit codes:
  0  it ended well
  1  a script raised, or a --forbid was seen
  2  a script could not be loaded, or the command line is wrong
  3  an --expect, --until or --until-count was not seen
  4  BindToClose functions took longer than 30 s
  5  the store could not be opened, or has failed")]
pub(crate) struct RunArguments {
    /// Scripts to start, or folders whose *.server.luau are started, beside those of the project.
    #[arg(value_name = "SCRIPT", required_unless_present_any = ["project", "mount", "server"])]
    pub(crate) scripts: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) database: DatabaseArgument,
    #[command(flatten)]
    pub(crate) game: GameArgument,
    #[command(flatten)]
    pub(crate) place: PlaceArguments,
    #[command(flatten)]
    pub(crate) players: PlayerArguments,
    #[command(flatten)]
    pub(crate) servers: ServerArguments,
    #[command(flatten)]
    pub(crate) time: TimeArguments,
    #[command(flatten)]
    pub(crate) conditions: ConditionArguments,
    #[command(flatten)]
    pub(crate) expectations: Expectations,
}

/// What scripts find.
#[derive(Debug, Args)]
pub(crate) struct PlaceArguments {
    /// A Rojo project (default.project.json), or a folder with one: its tree becomes the game.
    #[arg(long, value_name = "FILE")]
    pub(crate) project: Option<PathBuf>,
    /// Put a file, folder or project at a place in the tree. May be given several times.
    #[arg(long, value_name = "INSTANCE.PATH=FILE")]
    pub(crate) mount: Vec<Mount>,
    /// game.PlaceId.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) place_id: u64,
    /// A script that computes for longer than this without yielding is ended. CPU time.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10s")]
    pub(crate) script_timeout: Duration,
    /// Most memory of a server's scripts, in MiB: what asks for more gets an error.
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(8..=65536))]
    pub(crate) script_memory: u32,
    /// RunService:IsStudio() answers true.
    #[arg(long)]
    pub(crate) studio: bool,
    /// For which engine the scripts were written.
    #[arg(long, value_enum, default_value_t = ProfileName::Roblox)]
    pub(crate) profile: ProfileName,
    /// When handlers of signals run.
    #[arg(long, value_enum, default_value_t = SignalBehavior::Immediate)]
    pub(crate) signal_behavior: SignalBehavior,
}

/// An engine whose games run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProfileName {
    /// Roblox.
    Roblox,
    /// Clawblox: scores that are tables, and a guard against saves of what was never loaded.
    Clawblox,
}

/// Workspace.SignalBehavior.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SignalBehavior {
    /// At once.
    Immediate,
    /// At the end of the current resumption.
    Deferred,
}

/// Who plays.
#[derive(Debug, Args)]
pub(crate) struct PlayerArguments {
    /// Simulated players of each server, who join one after another, play and leave. They are the same ones in every run.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) players: u32,
    /// How long a simulated player stays: seconds, or a range such as 5..9.
    #[arg(long, value_name = "SECONDS", default_value = "12..20")]
    pub(crate) session: Range,
    /// A player of the first server, who joins and leaves at these times. May be given several times.
    #[arg(long, value_name = "ID:NAME@JOIN[..LEAVE]")]
    pub(crate) player: Vec<TimedPlayer>,
}

/// Several game servers in this process, on one database.
#[derive(Debug, Args)]
pub(crate) struct ServerArguments {
    /// game.JobId of a single server. Default: random, or made from the seed.
    #[arg(long, value_name = "S", conflicts_with_all = ["servers", "server"])]
    pub(crate) job_id: Option<String>,
    /// Servers, named A, B, C, …: game.JobId is the name.
    #[arg(long, value_name = "N", conflicts_with = "server", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) servers: Option<u32>,
    /// A server of this name, with a script of its own or those of all. May be given several times.
    #[arg(long, value_name = "NAME[:SCRIPT]")]
    pub(crate) server: Vec<NamedServer>,
    /// Something that happens at a time: 12s:close:A, 12s:kill:B, 3s:join:A:42:Bob, 9s:leave:A:42, 20s:start:C. A server that is
    /// started by an event is not started before. May be given several times.
    #[arg(long, value_name = "TIME:EVENT:SERVER")]
    pub(crate) at: Vec<Timed>,
    /// Each server opens the database as a process of its own would, so that keys are handed over between them.
    #[arg(long)]
    pub(crate) isolate: bool,
}

/// The clock.
#[derive(Debug, Args)]
pub(crate) struct TimeArguments {
    /// Real time, or simulated time, which goes on as fast as the scripts are done with it.
    #[arg(long, value_enum, default_value_t = ClockKind::Real)]
    pub(crate) clock: ClockKind,
    /// Frames per second.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) tick_hz: u32,
    /// Unix time at which simulated time starts. Default: 2026-01-01 on :memory:, else now.
    #[arg(long, value_name = "UNIX")]
    pub(crate) start_time: Option<u64>,
    /// End after this much time of the game.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) max_sim: Option<Duration>,
    /// End after this much real time.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) max_real: Option<Duration>,
}

/// Which clock scripts see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClockKind {
    /// The machine's.
    Real,
    /// Simulated.
    Sim,
}

/// What engine calls meet.
#[derive(Debug, Args)]
pub(crate) struct ConditionArguments {
    /// Seed of math.random, GUIDs, latencies and faults. Default: 0 with --clock sim, else another in every run.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Engine calls take at least this long: 50ms, or a range such as 10..80ms.
    #[arg(long, value_name = "TIME")]
    pub(crate) latency: Option<Range>,
    /// Calls that fail: METHOD[:p=PROBABILITY][:@FROM..TO]:EFFECT. METHOD is a method, a service or `*`; EFFECT is 502 (refused),
    /// throttle, unknown (done, and the caller is not told), 403, or, for `messaging`, drop. May be given several times; the
    /// first that applies counts.
    #[arg(long, value_name = "FAULT")]
    pub(crate) fault: Vec<FaultRule>,
    /// DataStore calls fail with 403, as in Studio without API access.
    #[arg(long)]
    pub(crate) no_api_access: bool,
    /// Which limits of requests hold, and whether those of memory stores and messages do. Default: what the settings say.
    #[arg(long, value_enum)]
    pub(crate) budget: Option<Budget>,
    /// Which versions are kept: one an hour, as on Roblox, or every write. Default: what the settings say.
    #[arg(long, value_enum)]
    pub(crate) versioning: Option<Versioning>,
    /// What a GetAsync that may use a cache shows: the newest value that is at hand, or, to the letter of Roblox, what the same
    /// store object has read or written within 4 s. Default: what the settings say.
    #[arg(long, value_enum)]
    pub(crate) cache: Option<CacheKind>,
}

/// Which rates hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Budget {
    /// None.
    Off,
    /// No fixed ones: each game has its share while there is not enough for all.
    Fair,
    /// Roblox's, as of August 2026.
    #[value(alias = "roblox-2026-08")]
    Roblox,
    /// 60 requests a minute of each key, 100,000 of each game; Roblox's quotas of memory stores and messages.
    RobloxClassic,
}

/// What cached reads show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CacheKind {
    /// The newest value at hand.
    Fresh,
    /// Roblox's rule.
    Strict,
}

impl From<CacheKind> for clawstore::Cache {
    fn from(kind: CacheKind) -> Self {
        match kind {
            CacheKind::Fresh => Self::Fresh,
            CacheKind::Strict => Self::Strict,
        }
    }
}

/// Which superseded revisions are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Versioning {
    /// Roblox's rule.
    Hourly,
    /// All of them.
    EveryWrite,
}

/// What must be seen, and what is written down.
#[derive(Debug, Args)]
pub(crate) struct Expectations {
    /// End when a line of output matches.
    #[arg(long, value_name = "REGEX")]
    pub(crate) until: Option<Regex>,
    /// End when lines of output have matched that often. May be given several times: all must.
    #[arg(long, value_name = "REGEX=N")]
    pub(crate) until_count: Vec<Counted>,
    /// Fail unless a line of output matches. May be given several times.
    #[arg(long, value_name = "REGEX")]
    pub(crate) expect: Vec<Regex>,
    /// Fail if a line of output matches. May be given several times.
    #[arg(long, value_name = "REGEX")]
    pub(crate) forbid: Vec<Regex>,
    /// Write every line of output with its server and time, errors, counts of calls and how the run ended to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Print no status line every second.
    #[arg(long)]
    pub(crate) no_status: bool,
}
