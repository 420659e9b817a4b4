//! How a server is set up. Owns the options and their defaults.

use std::fmt;
use std::time::Duration;

use mlua::{MaybeSend, MaybeSync};

use crate::limits::{DEFAULT_MAX_PLAYERS, SCRIPT_TIMEOUT};
use crate::output::{Level, OutputSink};
use crate::shared::Elapsed;

/// Why a server closes; passed to `BindToClose` functions as `Enum.CloseReason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// No reason known.
    Unknown,
    /// The operator of the platform restarts it.
    RobloxMaintenance,
    /// The developer shut the server down (a signal to the runner).
    DeveloperShutdown,
    /// The developer published a new version.
    DeveloperUpdate,
    /// The last player has left.
    ServerEmpty,
    /// The server ran out of memory.
    OutOfMemory,
}

impl CloseReason {
    /// The name of the `Enum.CloseReason` item.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::RobloxMaintenance => "RobloxMaintenance",
            Self::DeveloperShutdown => "DeveloperShutdown",
            Self::DeveloperUpdate => "DeveloperUpdate",
            Self::ServerEmpty => "ServerEmpty",
            Self::OutOfMemory => "OutOfMemory",
        }
    }
}

/// When handlers of signals run (`Workspace.SignalBehavior`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SignalBehavior {
    /// At once, inside the call that fires.
    #[default]
    Immediate,
    /// At the next resumption point, with what `task.defer` has queued.
    Deferred,
}

impl SignalBehavior {
    /// The name of the `Enum.SignalBehavior` item.
    pub fn name(self) -> &'static str {
        match self {
            Self::Immediate => "Immediate",
            Self::Deferred => "Deferred",
        }
    }
}

/// What a [`crate::Runtime`] is made from. [`RuntimeOptions::new`] sets the defaults.
pub struct RuntimeOptions {
    /// `game.GameId`: the universe whose data the server sees.
    pub game_id: u64,
    /// `game.PlaceId`.
    pub place_id: u64,
    /// `game.PlaceVersion`.
    pub place_version: u64,
    /// `game.JobId`: the server's own identity.
    pub job_id: String,
    /// `game.PrivateServerId`; empty for a public server.
    pub private_server_id: String,
    /// `Players.MaxPlayers`.
    pub max_players: u32,
    /// What `RunService:IsStudio()` answers.
    pub studio: bool,
    /// Unix time at which the server starts.
    pub start_time: Duration,
    /// Time since the start, real or simulated. Must never go back.
    pub elapsed: Elapsed,
    /// Where output goes. Must not call back into the runtime.
    pub output: OutputSink,
    /// Bytes that the VM may hold; `None` for no limit.
    pub memory_limit: Option<usize>,
    /// Seed of all that is random: `math.random`, `Random.new()`, GUIDs. `None`: nobody can foretell it.
    pub random_seed: Option<u32>,
    /// When handlers of signals run. A project may change it (`Workspace.SignalBehavior`).
    pub signal_behavior: SignalBehavior,
    /// CPU time that a script may use before it yields; then it is ended. `None` for no limit.
    pub script_timeout: Option<Duration>,
}

impl RuntimeOptions {
    /// Options of a public server of game 1, place 1, with this clock and this output.
    pub fn new(
        elapsed: impl Fn() -> Duration + MaybeSend + MaybeSync + 'static,
        output: impl FnMut(Level, &str) + MaybeSend + 'static,
    ) -> Self {
        Self {
            game_id: 1,
            place_id: 1,
            place_version: 1,
            job_id: String::new(),
            private_server_id: String::new(),
            max_players: DEFAULT_MAX_PLAYERS,
            studio: false,
            start_time: Duration::ZERO,
            elapsed: Box::new(elapsed),
            output: Box::new(output),
            memory_limit: None,
            random_seed: None,
            signal_behavior: SignalBehavior::default(),
            script_timeout: Some(SCRIPT_TIMEOUT),
        }
    }
}

impl fmt::Debug for RuntimeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeOptions")
            .field("game_id", &self.game_id)
            .field("place_id", &self.place_id)
            .field("job_id", &self.job_id)
            .field("studio", &self.studio)
            .field("start_time", &self.start_time)
            .field("memory_limit", &self.memory_limit)
            .field("script_timeout", &self.script_timeout)
            .field("signal_behavior", &self.signal_behavior)
            .finish_non_exhaustive()
    }
}
