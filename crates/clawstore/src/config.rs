//! Settings: defaults < `clawstore.toml` < `CLAWSTORE_*` < code.
//!
//! Owns: where a setting comes from, and saying which one is wrong. Does not own: what it does (`actors::Config`), nor the
//! database (`database`).

mod tables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clawstore_core::GameId;
use clawstore_core::limits::{CALL_OVERHEAD_BYTES, HISTORY_DAYS_MAX, Limits};
use clawstore_core::versioning::{History, Retention};
use clawstore_lua::Cache;
use serde::Deserialize;

use crate::config::tables::{GameTable, StoreTable};

/// Name of the settings file in the working directory.
const FILE: &str = "clawstore.toml";
/// Times from here on are surely mistakes.
const SECONDS_MAX: u64 = 86_400;
const MIB: usize = 1024 * 1024;

/// Settings of a process. Start from [`Config::default`] or [`Config::load`].
#[derive(Debug, Clone)]
pub struct Config {
    pub(crate) actors: clawstore_actors::Config,
    pub(crate) migrate: bool,
    pub(crate) cache: Cache,
    /// Games that use the data of another.
    pub(crate) universes: BTreeMap<GameId, GameId>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            actors: clawstore_actors::Config::default(),
            migrate: true,
            cache: Cache::default(),
            universes: BTreeMap::new(),
        }
    }
}

/// The settings file, and each setting's variable `CLAWSTORE_<NAME>`; tables are in the file alone.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    call_deadline_s: Option<u64>,
    idle_s: Option<u64>,
    cache_mib: Option<usize>,
    pending_mib_per_game: Option<usize>,
    pending_mib_per_process: Option<usize>,
    versioning: Option<String>,
    limits: Option<String>,
    cache: Option<String>,
    migrate: Option<String>,
    sharing: Option<String>,
    hints: Option<String>,
    #[serde(default)]
    stores: BTreeMap<Box<str>, StoreTable>,
    #[serde(default)]
    games: BTreeMap<String, GameTable>,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is there and cannot be read.
    #[error("settings file {path} cannot be read: {source}; nothing was opened")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not valid.
    #[error("settings file {path} is not valid: {message}; nothing was opened")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        message: String,
    },
    /// A variable or setting has a value that does not fit.
    #[error("setting {name} = {value:?} is not {expected}; nothing was opened")]
    Value {
        /// Which setting.
        name: String,
        /// What it says.
        value: String,
        /// What it should say.
        expected: &'static str,
    },
}

impl Config {
    /// Defaults, then `clawstore.toml` in the working directory if there is one, then `CLAWSTORE_*` variables.
    ///
    /// # Errors
    /// If the file or a variable cannot be used; the error names it.
    pub fn load() -> Result<Self, ConfigError> {
        Self::load_from(Path::new(FILE), |name| std::env::var(name).ok())
    }

    fn load_from(path: &Path, variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let file = match std::fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text)
                .map_err(|error| ConfigError::Parse { path: path.to_owned(), message: error.to_string() })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Settings::default(),
            Err(source) => return Err(ConfigError::Read { path: path.to_owned(), source }),
        };
        let mut config = Self::default();
        let variables = from_variables(variable)?;
        config.apply(&file)?;
        config.apply(&variables)?;
        // What a table of a store does not say is as it is for all.
        config.apply_tables(&file)?;
        Ok(config)
    }

    fn apply(&mut self, settings: &Settings) -> Result<(), ConfigError> {
        let actors = &mut self.actors;
        set_seconds(&mut actors.call_deadline, "call_deadline_s", settings.call_deadline_s)?;
        set_seconds(&mut actors.idle_before_passivation, "idle_s", settings.idle_s)?;
        set_mib(&mut actors.cache_bytes, "cache_mib", settings.cache_mib)?;
        set_mib(&mut actors.pending_bytes_per_game, "pending_mib_per_game", settings.pending_mib_per_game)?;
        set_mib(&mut actors.pending_bytes_per_process, "pending_mib_per_process", settings.pending_mib_per_process)?;
        if let Some(text) = &settings.versioning {
            actors.versioning.default.retention = tables::retention("versioning", text)?;
        }
        match settings.limits.as_deref() {
            None => {}
            Some(name) => actors.limits = Limits::named(name).ok_or_else(|| bad("limits", name, Limits::NAMES))?,
        }
        match settings.cache.as_deref() {
            None => {}
            Some("fresh") => self.cache = Cache::Fresh,
            Some("strict") => self.cache = Cache::Strict,
            Some(other) => return Err(bad("cache", other, "`fresh` or `strict`")),
        }
        match settings.migrate.as_deref() {
            None => {}
            Some("on") => self.migrate = true,
            Some("off") => self.migrate = false,
            Some(other) => return Err(bad("migrate", other, "`on` or `off`")),
        }
        if let Some(text) = &settings.sharing {
            actors.sharing.default = tables::sharing("sharing", text)?;
        }
        match settings.hints.as_deref() {
            None => {}
            Some("on") => actors.hints = true,
            Some("off") => actors.hints = false,
            Some(other) => return Err(bad("hints", other, "`on` or `off`")),
        }
        Ok(())
    }

    fn apply_tables(&mut self, settings: &Settings) -> Result<(), ConfigError> {
        let versioning = &mut self.actors.versioning;
        for (store, table) in &settings.stores {
            versioning.stores.insert(store.clone(), tables::history(store, table, versioning.default)?);
            if let Some(may_share) = tables::store_sharing(store, table)? {
                self.actors.sharing.stores.insert(store.clone(), may_share);
            }
        }
        for (game, table) in &settings.games {
            let (game, universe) = tables::universe(game, table)?;
            self.universes.insert(game, universe);
        }
        self.check()
    }

    /// What only all settings together can get wrong.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        tables::check(&self.universes)
    }

    /// Every call is answered within this time. Default 30 s.
    #[must_use]
    pub fn call_deadline(mut self, deadline: Duration) -> Self {
        self.actors.call_deadline = deadline;
        self
    }

    /// Keys without calls for this long leave memory. Default 60 s; at least 1 s.
    #[must_use]
    pub fn idle(mut self, idle: Duration) -> Self {
        self.actors.idle_before_passivation = idle;
        self
    }

    /// Ceiling for the bytes of keys in memory, per game. Default 256 MiB.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.actors.cache_bytes = bytes;
        self
    }

    /// Which superseded revisions are kept as versions, for 30 days. Default: Roblox's rule, one an hour.
    #[must_use]
    pub fn retention(mut self, retention: Retention) -> Self {
        self.actors.versioning.default.retention = retention;
        self
    }

    /// How the standard stores of a name keep history, in all games and scopes, whatever holds for the others. The empty name is
    /// the global data store. At least 1 and at most 30 days.
    #[must_use]
    pub fn store_history(mut self, store: &str, history: History) -> Self {
        let history = History { days: history.days.clamp(1, HISTORY_DAYS_MAX), ..history };
        self.actors.versioning.stores.insert(store.into(), history);
        self
    }

    /// The game uses the data of another, as the games of one universe do on Roblox: its stores, memory stores and messages, and
    /// `game.GameId` is that of the universe. A universe has data of its own: opening fails for one that names another.
    #[must_use]
    pub fn universe(mut self, game: GameId, universe: GameId) -> Self {
        self.universes.insert(game, universe);
        self
    }

    /// Which rates and quotas hold for calls, memory stores and messages. Default: what `Limits` has by default, `Fair`.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.actors.limits = limits;
        self
    }

    /// What a `GetAsync` of a script that may use a cache shows. Default: the newest value of a key that this process owns.
    #[must_use]
    pub fn cache(mut self, cache: Cache) -> Self {
        self.cache = cache;
        self
    }

    /// May keys that several servers write at the same time be shared: written by all of them, each write on the revision that it
    /// has seen, instead of going from one owner to the next? Default: yes. What callers see is the same.
    #[must_use]
    pub fn sharing(mut self, may_share: bool) -> Self {
        self.actors.sharing.default = may_share;
        self
    }

    /// The same for the stores of a name, in all games and scopes, whatever holds for the others.
    #[must_use]
    pub fn store_sharing(mut self, store: &str, may_share: bool) -> Self {
        self.actors.sharing.stores.insert(store.into(), may_share);
        self
    }

    /// Servers tell each other over Postgres when a key is wanted or free (LISTEN and NOTIFY). Default: yes. Without it they find out
    /// a little later.
    #[must_use]
    pub fn hints(mut self, hints: bool) -> Self {
        self.actors.hints = hints;
        self
    }

    /// Bring a Postgres schema up to date at opening. Default: yes. Without it, the role of the URL needs no right to
    /// create tables; `clawstore migrate up` does it with another role.
    #[must_use]
    pub fn migrate(mut self, migrate: bool) -> Self {
        self.migrate = migrate;
        self
    }

    /// Ceiling for the bytes of calls on their way, per game. Default 64 MiB; at least one call fits.
    #[must_use]
    pub fn pending_bytes_per_game(mut self, bytes: usize) -> Self {
        self.actors.pending_bytes_per_game = bytes.max(CALL_OVERHEAD_BYTES);
        self
    }
}

fn bad(name: &str, value: impl ToString, expected: &'static str) -> ConfigError {
    ConfigError::Value { name: name.to_owned(), value: value.to_string(), expected }
}

fn set_seconds(target: &mut Duration, name: &str, value: Option<u64>) -> Result<(), ConfigError> {
    match value {
        None => Ok(()),
        Some(seconds @ (0 | SECONDS_MAX..)) => Err(bad(name, seconds, "a number of seconds from 1 to 86399")),
        Some(seconds) => {
            *target = Duration::from_secs(seconds);
            Ok(())
        }
    }
}

fn set_mib(target: &mut usize, name: &str, value: Option<usize>) -> Result<(), ConfigError> {
    match value.map(|mib| (mib, mib.checked_mul(MIB))) {
        None => Ok(()),
        Some((mib, None) | (mib @ 0, _)) => Err(bad(name, mib, "a number of MiB from 1 upwards")),
        Some((_, Some(bytes))) => {
            *target = bytes;
            Ok(())
        }
    }
}

fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Settings, ConfigError> {
    fn number<T: std::str::FromStr>(name: &str, text: Option<String>) -> Result<Option<T>, ConfigError> {
        text.map(|text| text.parse().map_err(|_| bad(name, &text, "a whole number"))).transpose()
    }
    let get = |name: &str| (format!("CLAWSTORE_{name}"), variable(&format!("CLAWSTORE_{name}")));
    let seconds = |name| {
        let (name, text) = get(name);
        number::<u64>(&name, text)
    };
    let mib = |name| {
        let (name, text) = get(name);
        number::<usize>(&name, text)
    };
    Ok(Settings {
        call_deadline_s: seconds("CALL_DEADLINE_S")?,
        idle_s: seconds("IDLE_S")?,
        cache_mib: mib("CACHE_MIB")?,
        pending_mib_per_game: mib("PENDING_MIB_PER_GAME")?,
        pending_mib_per_process: mib("PENDING_MIB_PER_PROCESS")?,
        versioning: get("VERSIONING").1,
        limits: get("LIMITS").1,
        cache: get("CACHE").1,
        migrate: get("MIGRATE").1,
        sharing: get("SHARING").1,
        hints: get("HINTS").1,
        stores: BTreeMap::new(),
        games: BTreeMap::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: Option<&str>, variables: &[(&str, &str)]) -> Result<Config, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let find = |name: &str| variables.iter().find(|v| v.0 == name).map(|v| v.1.to_owned());
        Config::load_from(&path, find).map_err(|error| error.to_string())
    }

    #[test]
    fn variables_win_over_the_file_and_the_file_over_defaults() {
        assert_eq!(load(None, &[]).unwrap().actors.cache_bytes, 256 * MIB);
        let config = load(Some("cache_mib = 10\nidle_s = 5"), &[("CLAWSTORE_IDLE_S", "7")]).unwrap();
        assert_eq!((config.actors.cache_bytes, config.actors.idle_before_passivation.as_secs()), (10 * MIB, 7));
    }

    #[test]
    fn wrong_settings_are_named() {
        assert!(load(Some("caches = 10"), &[]).unwrap_err().contains("unknown field `caches`"));
        assert!(load(None, &[("CLAWSTORE_IDLE_S", "soon")]).unwrap_err().contains("CLAWSTORE_IDLE_S"));
        assert!(load(Some("cache_mib = 0"), &[]).unwrap_err().contains("cache_mib"));
        assert!(load(Some("versioning = \"daily\""), &[]).unwrap_err().contains("every-write"));
        assert!(load(Some("limits = \"some\""), &[]).unwrap_err().contains("roblox"));
        assert!(load(Some("cache = \"old\""), &[]).unwrap_err().contains("strict"));
        assert_eq!(load(None, &[("CLAWSTORE_CACHE", "strict")]).unwrap().cache, Cache::Strict);
    }

    #[test]
    fn a_store_has_a_history_of_its_own() {
        let text = "versioning = \"hourly\"\n[stores.PlayerData]\nversioning = \"every-write\"\ndays = 7\n[stores.\"A b\"]\ndays = 1";
        let config = load(Some(text), &[]).unwrap().store_history("C", History { days: 99, ..History::default() });
        let stores = config.actors.versioning.stores;
        assert_eq!(stores["PlayerData"], History { retention: Retention::EveryWrite, days: 7 });
        assert_eq!(stores["A b"], History { retention: Retention::Hourly, days: 1 });
        assert_eq!(stores["C"].days, 30);
        let every = load(Some("[stores.S]\ndays = 2"), &[("CLAWSTORE_VERSIONING", "every-write")]).unwrap();
        assert_eq!(every.actors.versioning.stores["S"].retention, Retention::EveryWrite, "as all others");
        let wrong = |table: &str| load(Some(&format!("[stores.S]\n{table}")), &[]).unwrap_err();
        for days in [0, 31, 65_537] {
            assert!(wrong(&format!("days = {days}")).contains("stores.S.days"), "{days}");
        }
        assert!(wrong("versioning = \"daily\"").contains("stores.S.versioning"));
        assert!(wrong("keep = 1").contains("keep"));
        assert!(load(Some(&format!("[stores.{}]", "s".repeat(51))), &[]).unwrap_err().contains("50 bytes"));
    }

    #[test]
    fn keys_are_shared_unless_a_setting_says_otherwise() {
        let shares = |config: &Config, store: &str| {
            let sharing = &config.actors.sharing;
            sharing.stores.get(store).copied().unwrap_or(sharing.default)
        };
        let config = load(None, &[]).unwrap();
        assert!(shares(&config, "S") && config.actors.hints);
        let config =
            load(Some("sharing = \"never\"\n[stores.S]\nsharing = \"auto\""), &[("CLAWSTORE_HINTS", "off")]).unwrap();
        assert!(shares(&config, "S") && !shares(&config, "T") && !config.actors.hints);
        let config = config.store_sharing("S", false).sharing(true);
        assert!(!shares(&config, "S") && shares(&config, "T"));
        assert!(load(Some("sharing = \"always\""), &[]).unwrap_err().contains("`auto` or `never`"));
        assert!(load(Some("[stores.S]\nsharing = \"on\""), &[]).unwrap_err().contains("stores.S.sharing"));
        assert!(load(None, &[("CLAWSTORE_HINTS", "no")]).unwrap_err().contains("hints"));
    }

    #[test]
    fn games_share_a_universe_that_has_data_of_its_own() {
        let text = "[games.\"2\"]\nuniverse = 1\n[games.\"00000000-0000-0000-0000-00000000000a\"]\nuniverse = \"1\"";
        let universes = load(Some(text), &[]).unwrap().universes;
        assert_eq!(universes[&GameId::Number(2)], GameId::Number(1));
        assert_eq!(universes[&GameId::Uuid(10)], GameId::Number(1));
        let wrong = |text: &str| load(Some(text), &[]).unwrap_err();
        assert!(wrong("[games.\"0\"]\nuniverse = 1").contains("games"));
        assert!(wrong("[games.\"2\"]\nuniverse = \"x\"").contains("games.2.universe"));
        assert!(wrong("[games.\"2\"]").contains("universe"));
        let chain = wrong("[games.\"3\"]\nuniverse = 2\n[games.\"2\"]\nuniverse = 1");
        assert!(chain.contains("games.3.universe") && chain.contains("data of another"), "{chain}");
        assert!(load(Some("[games.\"2\"]\nuniverse = 2"), &[]).is_ok(), "its own");
    }
}
