//! What an answered commit survives, by the settings of the server.
//!
//! Owns: the ladder (`ownership-protocol.md` §2.6) and which settings are refused. Does not own: asking for them
//! (`session`).

use std::fmt;

use crate::open_error::OpenError;

/// What acknowledged writes survive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Durability {
    /// The server does not wait for its disk, and the caller agreed to it.
    None {
        /// The setting that is to blame.
        setting: &'static str,
    },
    /// The server's disk has them.
    Disk,
    /// The server's disk and standbys have them.
    Standby {
        /// How far the standbys have got when a commit is answered.
        reached: Standby,
        /// The value of `synchronous_standby_names`.
        names: String,
    },
}

/// What a standby has done with a commit when it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standby {
    /// Handed to its operating system.
    Written,
    /// On its disk.
    Flushed,
    /// On its disk and readable there.
    Applied,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None { setting } => {
                write!(f, "NOT DURABLE ({setting}): acknowledged writes survive the end of our process, not of the database's")
            }
            Self::Disk => f.write_str(
                "acknowledged writes survive kill -9 of any process, a crash of the system and a power cut with an honest \
                 disk; they do not survive the loss of the disk",
            ),
            Self::Standby { reached, names } => {
                let crash = match reached {
                    Standby::Written => "the loss of one machine, unless the standby's system crashes with it",
                    Standby::Flushed | Standby::Applied => "the loss of one machine",
                };
                write!(f, "acknowledged writes survive {crash}, if only a standby of `{names}` that is in sync is promoted")
            }
        }
    }
}

/// The settings, as the server showed them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) fsync: String,
    pub(crate) full_page_writes: String,
    pub(crate) synchronous_commit: String,
    pub(crate) standbys: String,
}

impl Durability {
    /// Is a commit answered only when a standby has it?
    pub(crate) fn waits_for_standby(&self) -> bool {
        matches!(self, Self::Standby { .. })
    }

    /// Which row of the ladder applies. Where there are no standbys, `synchronous_commit` does not matter: the session
    /// turns it on.
    pub(crate) fn judge(shown: &Shown, must_be_durable: bool) -> Result<Self, OpenError> {
        let on = "on";
        let has_standbys = !shown.standbys.trim().is_empty();
        let bad_commit = has_standbys && matches!(shown.synchronous_commit.as_str(), "off" | "local");
        let bad = [
            (shown.fsync != on, "fsync", &shown.fsync),
            (shown.full_page_writes != on, "full_page_writes", &shown.full_page_writes),
            (bad_commit, "synchronous_commit", &shown.synchronous_commit),
        ];
        if let Some((_, setting, found)) = bad.into_iter().find(|(bad, ..)| *bad) {
            if must_be_durable {
                return Err(OpenError::Unsafe { setting, found: found.clone(), wanted: on });
            }
            return Ok(Self::None { setting });
        }
        if !has_standbys {
            return Ok(Self::Disk);
        }
        let reached = match shown.synchronous_commit.as_str() {
            "remote_write" => Standby::Written,
            "remote_apply" => Standby::Applied,
            _ => Standby::Flushed,
        };
        Ok(Self::Standby { reached, names: shown.standbys.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(settings: [&str; 4], must_be_durable: bool) -> String {
        let [fsync, full_page_writes, synchronous_commit, standbys] = settings.map(str::to_owned);
        let shown = Shown { fsync, full_page_writes, synchronous_commit, standbys };
        Durability::judge(&shown, must_be_durable).map_or_else(|e| e.to_string(), |d| format!("{d:?}"))
    }

    #[test]
    fn settings_that_lose_acknowledged_writes_are_refused() {
        let cases = [
            (["off", "on", "on", ""], "fsync=off"),
            (["on", "off", "on", ""], "full_page_writes=off"),
            (["on", "on", "off", "b"], "synchronous_commit=off"),
            (["on", "on", "local", "ANY 1 (b, c)"], "synchronous_commit=local"),
        ];
        for (settings, text) in cases {
            assert!(judge(settings, true).contains(text), "{settings:?}");
            assert!(judge(settings, false).starts_with("None"), "{settings:?}");
        }
    }

    #[test]
    fn rows_of_the_ladder() {
        assert_eq!(judge(["on", "on", "on", ""], true), "Disk");
        assert_eq!(judge(["on", "on", "off", " "], true), "Disk", "the session turns it on");
        let standby = |commit| judge(["on", "on", commit, "b"], true);
        assert!(standby("on").contains("Flushed"));
        assert!(standby("remote_write").contains("Written"));
        assert!(standby("remote_apply").contains("Applied"));
    }
}
