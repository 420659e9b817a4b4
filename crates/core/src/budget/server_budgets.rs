//! What one server may do now: a budget for each request type (spec §6.3, §6.4).
//!
//! Owns: filling budgets by time and players, what scripts set instead of the defaults (spec §6.5), what scripts are shown.
//! Does not own: what becomes of a call without budget (`queues`).

use std::time::Duration;

use super::bucket::Bucket;
use super::request_type::Rate;
use super::{BudgetType, Charge, RequestType};
use crate::clock::Timestamp;
use crate::error::CallError;
use crate::limits::{BUDGET_AT_CLOSE_SECONDS, BUDGET_MINUTES};

/// See the module. Budgets fill at (base + per player × players) a minute, as far as three minutes' worth.
#[derive(Debug, Clone)]
pub struct ServerBudgets {
    rates: [Rate; RequestType::COUNT],
    buckets: [Bucket; RequestType::COUNT],
    players: u32,
}

impl ServerBudgets {
    /// Those of a server that starts now.
    pub fn new(now: Timestamp) -> Self {
        Self {
            rates: RequestType::ALL.map(RequestType::server_rate),
            buckets: RequestType::ALL.map(|request| Bucket::holding(request.burst(), now)),
            players: 0,
        }
    }

    /// Fills all budgets up to now, for this many players.
    pub fn fill(&mut self, now: Timestamp, players: u32) {
        self.players = players;
        for (bucket, rate) in self.buckets.iter_mut().zip(self.rates) {
            bucket.fill(now, rate.per_minute(players));
        }
    }

    /// Requests that can be made, as of the last filling: of a deprecated type as many as of those that stand for it.
    pub fn shown(&self, budget: BudgetType) -> i32 {
        let least = budget.charged().iter().map(|request| self.requests(*request)).min();
        i32::try_from(least.unwrap_or_default()).unwrap_or(i32::MAX)
    }

    fn requests(&self, request: RequestType) -> u64 {
        self.buckets[request as usize].requests()
    }

    fn per_minute(&self, request: RequestType) -> u64 {
        self.rates[request as usize].per_minute(self.players)
    }

    /// Sets the rate of a type from the last filling on. Those of deprecated types are checked and stand for nothing: no call is charged
    /// as them (spec §6.4).
    ///
    /// # Errors
    /// For what is out of its range (spec §6.5).
    pub fn set_rate(&mut self, budget: BudgetType, base: i64, per_player: i64) -> Result<(), CallError> {
        let rate = budget.check_rate(base, per_player)?;
        if let BudgetType::Modern(request) = budget {
            self.rates[request as usize] = rate;
            // What is kept follows the limit at once.
            self.buckets[request as usize].limit(rate.per_minute(self.players));
        }
        Ok(())
    }

    /// Checks a rate that is set where there are no budgets.
    ///
    /// # Errors
    /// As [`Self::set_rate`].
    pub fn check_rate(budget: BudgetType, base: i64, per_player: i64) -> Result<(), CallError> {
        budget.check_rate(base, per_player).map(|_| ())
    }

    /// The server closes: it can save what it has to save (spec §6.4), also where a script has set less than the default
    /// base.
    pub fn top_up(&mut self) {
        for ((bucket, rate), request) in self.buckets.iter_mut().zip(&mut self.rates).zip(RequestType::ALL) {
            rate.base = rate.base.max(request.server_rate().base);
            bucket.raise_to(u64::from(rate.base), BUDGET_AT_CLOSE_SECONDS);
        }
    }

    /// How long until there is budget for a call, if nothing else takes it: zero is now, `None` is never, as things are. The
    /// second is the type that it waits for longest.
    pub fn wait(&self, charge: &Charge) -> (Option<Duration>, Option<RequestType>) {
        let of_type = |request: &RequestType| (self.wait_for(*request, charge.count), *request);
        let longest = charge.requests.iter().map(of_type).max_by_key(|(wait, _)| wait.unwrap_or(Duration::MAX));
        longest.map_or((Some(Duration::ZERO), None), |(wait, request)| (wait, Some(request)))
    }

    fn wait_for(&self, request: RequestType, count: u32) -> Option<Duration> {
        let per_minute = self.per_minute(request);
        // What is more than a full budget is started by a full one.
        let needed = u64::from(count).min(BUDGET_MINUTES * per_minute).max(1);
        self.buckets[request as usize].wait(needed, per_minute)
    }

    /// The types of which there is not enough budget for a call now.
    pub fn lacking(&self, charge: &Charge) -> impl Iterator<Item = &'static RequestType> {
        let count = charge.count;
        charge.requests.iter().filter(move |request| self.wait_for(**request, count) != Some(Duration::ZERO))
    }

    /// Takes what a call costs.
    pub fn take(&mut self, charge: &Charge) {
        for request in charge.requests {
            self.buckets[*request as usize].take(u64::from(charge.count));
        }
    }
}
