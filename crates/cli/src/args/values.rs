//! Values of options that are more than a word or a number.
//!
//! Owns: their grammar, and saying what is wrong. Does not own: what they mean to a run (`run`).

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use regex::Regex;

/// A time: `12`, `12s`, `1.5s`, `300ms`, `2m` or `1h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let (number, unit) = match text.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let seconds_per_unit = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("{text:?} is not a time such as 12s, 300ms, 2m or 1h")),
    };
    let number = number.trim().parse::<f64>().ok();
    let time = number.and_then(|number| Duration::try_from_secs_f64(number * seconds_per_unit).ok());
    time.ok_or_else(|| format!("{text:?} is not a time such as 12s, 300ms, 2m or 1h"))
}

/// A time, or a range of times: `50ms`, `10..80ms`, `12..20`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) shortest: Duration,
    pub(crate) longest: Duration,
}

impl FromStr for Range {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (shortest, longest) = text.split_once("..").unwrap_or((text, text));
        // `10..80ms`: the unit of the end is that of the beginning, if that has none.
        let unit = longest.find(|c: char| c.is_ascii_alphabetic()).map_or("", |at| &longest[at..]);
        let has_unit = shortest.ends_with(|c: char| c.is_ascii_alphabetic());
        let shortest = duration(&if has_unit { shortest.to_owned() } else { format!("{}{unit}", shortest.trim()) })?;
        let longest = duration(longest)?;
        if shortest > longest {
            return Err("the range ends before it begins".to_owned());
        }
        Ok(Self { shortest, longest })
    }
}

/// `INSTANCE.PATH=FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) instance: String,
    pub(crate) path: PathBuf,
}

impl FromStr for Mount {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((instance, path)) if !instance.is_empty() && !path.is_empty() => {
                Ok(Self { instance: instance.to_owned(), path: path.into() })
            }
            _ => Err("it must be of the form ServerScriptService.Name=PATH".to_owned()),
        }
    }
}

/// `NAME` or `NAME:script.luau`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedServer {
    pub(crate) name: String,
    pub(crate) script: Option<PathBuf>,
}

impl FromStr for NamedServer {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, script) = match text.split_once(':') {
            Some((name, script)) => (name, Some(script.into())),
            None => (text, None),
        };
        if name.is_empty() {
            return Err("a server needs a name: NAME or NAME:script.luau".to_owned());
        }
        Ok(Self { name: name.to_owned(), script })
    }
}

/// A player on a timetable: `id:name@join` or `id:name@join..leave`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TimedPlayer {
    pub(crate) user_id: i64,
    pub(crate) name: String,
    pub(crate) joins: Duration,
    pub(crate) leaves: Option<Duration>,
}

impl FromStr for TimedPlayer {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "it must be of the form 42:Bob@3s or 42:Bob@3s..20s".to_owned();
        let (who, when) = text.split_once('@').ok_or_else(form)?;
        let (user_id, name) = who.split_once(':').ok_or_else(form)?;
        let (joins, leaves) = match when.split_once("..") {
            Some((joins, leaves)) => (duration(joins)?, Some(duration(leaves)?)),
            None => (duration(when)?, None),
        };
        if leaves.is_some_and(|leaves| leaves < joins) {
            return Err("the player leaves before joining".to_owned());
        }
        let user_id = user_id.parse().map_err(|_| form())?;
        if name.is_empty() { Err(form()) } else { Ok(Self { user_id, name: name.to_owned(), joins, leaves }) }
    }
}

/// Something that happens at a time: `12s:close:A`, `3s:join:A:42:Bob`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Timed {
    pub(crate) at: Duration,
    pub(crate) server: String,
    pub(crate) what: What,
}

/// What happens to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// It starts.
    Start,
    /// It closes in order: players leave, `BindToClose` runs.
    Close,
    /// It is gone: nothing of it runs any more.
    Kill,
    /// A player joins.
    Join { user_id: i64, name: String },
    /// A player leaves.
    Leave { user_id: i64 },
}

impl FromStr for Timed {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let form = "it must be of the form 12s:close:A, 12s:kill:A, 20s:start:A, 3s:join:A:42:Bob or 9s:leave:A:42";
        let parts: Vec<&str> = text.split(':').collect();
        let user_id = |text: &str| text.parse::<i64>().map_err(|_| form.to_owned());
        let (at, server, what) = match parts[..] {
            [at, "start", server] => (at, server, What::Start),
            [at, "close", server] => (at, server, What::Close),
            [at, "kill", server] => (at, server, What::Kill),
            [at, "join", server, id, name] => (at, server, What::Join { user_id: user_id(id)?, name: name.to_owned() }),
            [at, "leave", server, id] => (at, server, What::Leave { user_id: user_id(id)? }),
            _ => return Err(form.to_owned()),
        };
        Ok(Self { at: duration(at)?, server: server.to_owned(), what })
    }
}

/// `REGEX=N`: the line must be seen that often.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    pub(crate) pattern: Regex,
    pub(crate) times: u32,
}

impl FromStr for Counted {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (pattern, times) = text.rsplit_once('=').ok_or("it must be of the form REGEX=N")?;
        let times = times.parse().ok().filter(|times| *times > 0).ok_or("N must be a number from 1 upwards")?;
        let pattern = Regex::new(pattern).map_err(|error| error.to_string())?;
        Ok(Self { pattern, times })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let ms = |text: &str| duration(text).map(|time| time.as_millis());
        assert_eq!(ms("12"), Ok(12_000));
        assert_eq!(ms("1.5s"), Ok(1_500));
        assert_eq!(ms("300ms"), Ok(300));
        assert_eq!((ms("2m"), ms("1h")), (Ok(120_000), Ok(3_600_000)));
        assert!(ms("soon").is_err() && ms("-1").is_err() && ms("3d").is_err() && ms("").is_err());
    }

    #[test]
    fn ranges_are_times_or_two_of_them() {
        let range = |text: &str| text.parse::<Range>().map(|r| (r.shortest.as_millis(), r.longest.as_millis()));
        assert_eq!(range("2"), Ok((2_000, 2_000)));
        assert_eq!(range("0.5..1.25"), Ok((500, 1_250)));
        assert_eq!(range("10..80ms"), Ok((10, 80)));
        assert_eq!(range("10ms..2s"), Ok((10, 2_000)));
        assert!(range("3..2").is_err() && range("a..2").is_err() && range("-1").is_err());
    }

    #[test]
    fn players_and_events_are_read_or_refused() {
        let player: TimedPlayer = "42:Bob@3s..20s".parse().unwrap();
        assert_eq!(
            (player.user_id, player.joins, player.leaves),
            (42, Duration::from_secs(3), Some(Duration::from_secs(20)))
        );
        for bad in ["42@3s", "Bob@3", "42:Bob@9..3", "42:@3"] {
            assert!(bad.parse::<TimedPlayer>().is_err(), "{bad}");
        }
        let event: Timed = "3s:join:A:42:Bob".parse().unwrap();
        assert_eq!(event.what, What::Join { user_id: 42, name: "Bob".to_owned() });
        for bad in ["3s:join:A", "close:A", "3s:stop:A", "3s:leave:A:x"] {
            assert!(bad.parse::<Timed>().is_err(), "{bad}");
        }
        assert!("a.b=".parse::<Mount>().is_err() && "=x".parse::<Mount>().is_err());
        assert_eq!(": (PASS|FAIL)$=24".parse::<Counted>().map(|counted| counted.times), Ok(24));
        assert!("x=0".parse::<Counted>().is_err() && "x".parse::<Counted>().is_err());
    }
}
