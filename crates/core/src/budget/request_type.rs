//! The request types of Roblox: those that calls are charged as, and those that scripts may name (spec §6.2, §6.3, §6.6).
//!
//! Owns: their names, their rates by default, the ranges of rates that scripts may set (spec §6.5), what the deprecated ones
//! stand for. Does not own: budgets made of them (`server_budgets`).

use crate::error::CallError;

/// The request types that calls are charged as. In the order of Roblox's enum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestType {
    /// `GetAsync`, `GetVersionAsync`, `GetVersionAtTimeAsync`, and the read half of `UpdateAsync`.
    StandardRead,
    /// `SetAsync`, `IncrementAsync`, and the write half of `UpdateAsync`.
    StandardWrite,
    /// `ListDataStoresAsync`, `ListKeysAsync` and `ListVersionsAsync`, once a page.
    StandardList,
    /// `RemoveAsync` and `RemoveVersionAsync`.
    StandardRemove,
    /// As [`Self::StandardRead`], in ordered stores; `BatchGetAsync`, once a key.
    OrderedRead,
    /// As [`Self::StandardWrite`], in ordered stores.
    OrderedWrite,
    /// `GetSortedAsync`, once a page.
    OrderedList,
    /// As [`Self::StandardRemove`], in ordered stores.
    OrderedRemove,
}

/// Requests a minute: a base, and as many more for each player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) base: u32,
    pub(super) per_player: u32,
}

impl Rate {
    /// Players beyond so many count no more: no server has them, and no number here grows too large.
    const PLAYERS_MAX: u32 = 1_000_000;

    pub(super) fn per_minute(self, players: u32) -> u64 {
        u64::from(self.base) + u64::from(self.per_player) * u64::from(players.min(Self::PLAYERS_MAX))
    }
}

impl RequestType {
    /// How many there are.
    pub const COUNT: usize = 8;

    /// All of them.
    pub const ALL: [Self; Self::COUNT] = [
        Self::StandardRead,
        Self::StandardWrite,
        Self::StandardList,
        Self::StandardRemove,
        Self::OrderedRead,
        Self::OrderedWrite,
        Self::OrderedList,
        Self::OrderedRemove,
    ];

    /// The name of Roblox's enum item, and the label in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StandardRead => "StandardRead",
            Self::StandardWrite => "StandardWrite",
            Self::StandardList => "StandardList",
            Self::StandardRemove => "StandardRemove",
            Self::OrderedRead => "OrderedRead",
            Self::OrderedWrite => "OrderedWrite",
            Self::OrderedList => "OrderedList",
            Self::OrderedRemove => "OrderedRemove",
        }
    }

    /// The error of a server that makes too many (spec §5.2).
    pub(crate) const fn server_throttled(self) -> &'static str {
        match self {
            Self::StandardRead => "StandardReadGameServerThrottled",
            Self::StandardWrite => "StandardWriteGameServerThrottled",
            Self::StandardList => "StandardListGameServerThrottled",
            Self::StandardRemove => "StandardRemoveGameServerThrottled",
            Self::OrderedRead => "OrderedReadGameServerThrottled",
            Self::OrderedWrite => "OrderedWriteGameServerThrottled",
            Self::OrderedList => "OrderedListGameServerThrottled",
            Self::OrderedRemove => "OrderedRemoveGameServerThrottled",
        }
    }

    /// The error of a game that makes too many (spec §5.2, §5.3).
    pub(crate) const fn experience_throttled(self) -> &'static str {
        match self {
            Self::StandardRead => "StandardReadExperienceThrottled",
            Self::StandardWrite => "StandardWriteExperienceThrottled",
            Self::StandardList => "StandardListExperienceThrottled",
            Self::StandardRemove => "StandardRemoveExperienceThrottled",
            Self::OrderedRead => "OrderedReadExperienceThrottled",
            Self::OrderedWrite => "OrderedWriteExperienceThrottled",
            Self::OrderedList => "OrderedListExperienceThrottled",
            Self::OrderedRemove => "OrderedRemoveExperienceThrottled",
        }
    }

    /// Does it change what is stored?
    pub const fn is_write(self) -> bool {
        matches!(self, Self::StandardWrite | Self::StandardRemove | Self::OrderedWrite | Self::OrderedRemove)
    }

    /// Is it of ordered stores?
    pub const fn is_ordered(self) -> bool {
        matches!(self, Self::OrderedRead | Self::OrderedWrite | Self::OrderedList | Self::OrderedRemove)
    }

    /// What one server may do a minute, unless its scripts say otherwise (spec §6.3).
    pub(super) const fn server_rate(self) -> Rate {
        let (base, per_player) = match self {
            Self::StandardRead | Self::StandardWrite | Self::StandardRemove | Self::OrderedRead => (60, 40),
            Self::OrderedWrite | Self::OrderedRemove => (30, 5),
            Self::StandardList | Self::OrderedList => (5, 2),
        };
        Rate { base, per_player }
    }

    /// What all servers of a game may do a minute (spec §6.2).
    pub(super) const fn game_rate(self) -> Rate {
        let per_player = match self {
            Self::StandardRead | Self::OrderedRead | Self::StandardRemove | Self::OrderedRemove => 40,
            Self::StandardWrite | Self::OrderedWrite => 20,
            Self::StandardList | Self::OrderedList => 2,
        };
        Rate { base: 300, per_player }
    }

    /// What a server may do when it has just started (spec §6.3, the values of the deprecated types).
    pub(super) const fn burst(self) -> u64 {
        match self {
            Self::StandardRead | Self::StandardWrite | Self::StandardRemove | Self::OrderedRead => 100,
            Self::OrderedWrite | Self::OrderedRemove => 50,
            Self::StandardList | Self::OrderedList => 10,
        }
    }
}

/// What scripts may name: `Enum.DataStoreRequestType` (spec §6.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BudgetType {
    /// One that calls are charged as.
    Modern(RequestType),
    /// One of before: its name and value.
    Legacy(&'static str, u8),
}

impl BudgetType {
    /// All of them, in the order of their values, which count from 0.
    pub const ALL: [Self; 17] = [
        Self::Legacy("GetAsync", 0),
        Self::Legacy("SetIncrementAsync", 1),
        Self::Legacy("UpdateAsync", 2),
        Self::Legacy("GetSortedAsync", 3),
        Self::Legacy("SetIncrementSortedAsync", 4),
        Self::Legacy("OnUpdate", 5),
        Self::Legacy("ListAsync", 6),
        Self::Legacy("GetVersionAsync", 7),
        Self::Legacy("RemoveVersionAsync", 8),
        Self::Modern(RequestType::StandardRead),
        Self::Modern(RequestType::StandardWrite),
        Self::Modern(RequestType::StandardList),
        Self::Modern(RequestType::StandardRemove),
        Self::Modern(RequestType::OrderedRead),
        Self::Modern(RequestType::OrderedWrite),
        Self::Modern(RequestType::OrderedList),
        Self::Modern(RequestType::OrderedRemove),
    ];

    /// The item of this value.
    pub fn of_value(value: i64) -> Option<Self> {
        usize::try_from(value).ok().and_then(|value| Self::ALL.get(value).copied())
    }

    /// The name of the item.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Modern(request) => request.name(),
            Self::Legacy(name, _) => name,
        }
    }

    /// The types whose smallest budget is its budget: those that its calls are charged as today (spec §11, 19).
    pub const fn charged(self) -> &'static [RequestType] {
        use RequestType::{
            OrderedList, OrderedRead, OrderedRemove, OrderedWrite, StandardList, StandardRead, StandardRemove,
            StandardWrite,
        };
        match self {
            Self::Modern(StandardRead) => &[StandardRead],
            Self::Modern(StandardWrite) | Self::Legacy(_, 1) => &[StandardWrite],
            Self::Modern(StandardList) | Self::Legacy(_, 6) => &[StandardList],
            Self::Modern(StandardRemove) | Self::Legacy(_, 8) => &[StandardRemove],
            Self::Modern(OrderedRead) => &[OrderedRead],
            Self::Modern(OrderedWrite) | Self::Legacy(_, 4) => &[OrderedWrite],
            Self::Modern(OrderedList) | Self::Legacy(_, 3) => &[OrderedList],
            Self::Modern(OrderedRemove) => &[OrderedRemove],
            Self::Legacy(_, 2) => &[StandardRead, StandardWrite],
            // `GetAsync`, `GetVersionAsync`, and `OnUpdate`, which reads.
            Self::Legacy(..) => &[StandardRead],
        }
    }

    /// Largest base and limit per player that scripts may set; `None`: none at all (spec §6.5).
    const fn settable(self) -> Option<(i64, i64)> {
        match self {
            Self::Modern(_) => Some((10_000, 200)),
            Self::Legacy(_, 0 | 1) => Some((60, 40)),
            Self::Legacy(_, 3 | 6 | 7 | 8) => Some((5, 2)),
            Self::Legacy(_, 4) => Some((30, 5)),
            Self::Legacy(..) => None,
        }
    }

    /// Checks what a script wants to set. The texts are ours: Roblox's are not known (spec §6.5).
    ///
    /// # Errors
    /// For a number out of its range, and for a type without a rate of its own.
    pub(super) fn check_rate(self, base: i64, per_player: i64) -> Result<Rate, CallError> {
        let name = self.name();
        let Some((base_max, per_player_max)) = self.settable() else {
            return Err(CallError::argument(format_args!("The rate limit of {name} cannot be set")));
        };
        let check = |what: &str, number: i64, max: i64| match u32::try_from(number) {
            Ok(checked) if number <= max => Ok(checked),
            _ => Err(CallError::argument(format_args!("{what} of {name} must be from 0 to {max}"))),
        };
        Ok(Rate {
            base: check("baseLimit", base, base_max)?,
            per_player: check("perPlayerLimit", per_player, per_player_max)?,
        })
    }
}
