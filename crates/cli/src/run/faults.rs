//! Faults that a run is told to inject: which calls fail, when, how often, and how.
//!
//! Owns: the grammar of `--fault` and what an effect means for a call. Does not own: chance and time (`control`).

use std::str::FromStr;
use std::time::Duration;

use clawstore::{CallError, CallInfo, ErrorCode, Fault, Throttle};

use crate::args::values::duration;

/// One rule: the first that applies to a call counts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FaultRule {
    /// A method, a service, or `*`.
    what: String,
    /// From 0 to 1.
    probability: f64,
    /// Time of the game in which it applies.
    window: Option<(Duration, Duration)>,
    effect: Effect,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// 502: refused, not carried out.
    Refused,
    /// 301 to 306: dropped, because the queue is full.
    Throttled,
    /// Carried out, and the caller is told that nobody knows.
    Unknown,
    /// 403: no API access.
    NoAccess,
    /// A message is lost.
    Drop,
}

/// What `drop` is about.
pub(crate) const MESSAGING: &str = "messaging";

impl FromStr for FaultRule {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let form = "it must be of the form METHOD[:p=0.1][:@10s..20s]:502|throttle|unknown|403|drop";
        let mut parts: Vec<&str> = text.split(':').collect();
        let effect = match parts.pop() {
            Some("502") => Effect::Refused,
            Some("throttle") => Effect::Throttled,
            Some("unknown") => Effect::Unknown,
            Some("403") => Effect::NoAccess,
            Some("drop") => Effect::Drop,
            _ => return Err(form.to_owned()),
        };
        let Some((what, conditions)) = parts.split_first().filter(|(what, _)| !what.is_empty()) else {
            return Err(form.to_owned());
        };
        let mut rule = Self { what: (*what).to_owned(), probability: 1.0, window: None, effect };
        for condition in conditions {
            rule.narrow(condition)?;
        }
        if (rule.what == MESSAGING) != (effect == Effect::Drop) {
            return Err("messages are dropped (messaging:drop), calls are not".to_owned());
        }
        Ok(rule)
    }
}

impl FaultRule {
    /// A rule for all calls of a service or method.
    pub(crate) fn always(what: &str, effect: Effect) -> Self {
        Self { what: what.to_owned(), probability: 1.0, window: None, effect }
    }

    /// The same rule within this time of the game.
    #[must_use]
    pub(crate) fn within(mut self, from: Duration, until: Duration) -> Self {
        self.window = Some((from, until));
        self
    }

    fn narrow(&mut self, condition: &str) -> Result<(), String> {
        if let Some(probability) = condition.strip_prefix("p=") {
            let number = probability.parse::<f64>().ok().filter(|number| (0.0..=1.0).contains(number));
            self.probability = number.ok_or_else(|| format!("{probability:?} is not a probability from 0 to 1"))?;
        } else if let Some(window) = condition.strip_prefix('@') {
            let (from, until) = window.split_once("..").ok_or("a time window is of the form @10s..20s")?;
            self.window = Some((duration(from)?, duration(until)?));
        } else {
            return Err(format!("{condition:?} is neither p=PROBABILITY nor @FROM..TO"));
        }
        Ok(())
    }

    /// Is the rule about this call, at this time of the game? Chance comes on top.
    fn is_about(&self, names: [&str; 2], elapsed: Duration) -> bool {
        let named = self.what == "*" || names.contains(&self.what.as_str());
        named && self.window.is_none_or(|(from, until)| from <= elapsed && elapsed < until)
    }
}

/// How a call fails under these rules, if it does. `chance` gives numbers from 0 to 1.
pub(crate) fn of_call(
    rules: &[FaultRule],
    call: &CallInfo<'_>,
    elapsed: Duration,
    mut chance: impl FnMut() -> f64,
) -> Option<Fault> {
    let calls = rules.iter().filter(|rule| rule.effect != Effect::Drop);
    let mut about = calls.filter(|rule| rule.is_about([call.service, call.method], elapsed));
    let rule = about.find(|rule| rule.probability >= 1.0 || chance() < rule.probability)?;
    Some(rule.effect.fault(call))
}

/// Is a message lost under these rules?
pub(crate) fn loses_message(rules: &[FaultRule], elapsed: Duration, mut chance: impl FnMut() -> f64) -> bool {
    let mut about = rules.iter().filter(|rule| rule.effect == Effect::Drop && rule.is_about([MESSAGING; 2], elapsed));
    about.any(|rule| rule.probability >= 1.0 || chance() < rule.probability)
}

impl Effect {
    fn fault(self, call: &CallInfo<'_>) -> Fault {
        match self {
            Self::Throttled => Fault::Refuse(throttled(call)),
            Self::Unknown => Fault::LoseAnswer(CallError::unknown("A simulated fault lost the answer.")),
            Self::NoAccess => Fault::Refuse(
                ErrorCode::StudioAccessToApisNotAllowed
                    .error("Cannot write to DataStore from studio if API access is not enabled."),
            ),
            Self::Refused | Self::Drop => Fault::Refuse(CallError::unavailable("A simulated fault.")),
        }
    }
}

/// As if there were no budget for the call and its queue were full.
fn throttled(call: &CallInfo<'_>) -> CallError {
    match Throttle::of_method(call.method) {
        Some(throttle) => throttle.dropped(throttle.usual_type()),
        None => CallError::argument(format_args!("{} request dropped. Request was throttled.", call.method)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPDATE: CallInfo<'_> = CallInfo { service: "DataStoreService", method: "UpdateAsync" };
    const SECOND: Duration = Duration::from_secs(1);

    fn rules(texts: &[&str]) -> Vec<FaultRule> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn rules_apply_by_name_time_and_chance() {
        let at = |text: &str, elapsed: Duration, chance: f64| of_call(&rules(&[text]), &UPDATE, elapsed, || chance);
        assert!(at("UpdateAsync:502", SECOND, 0.9).is_some());
        assert!(at("DataStoreService:502", SECOND, 0.9).is_some() && at("*:502", SECOND, 0.9).is_some());
        assert!(at("GetAsync:502", SECOND, 0.0).is_none());
        assert!(
            at("UpdateAsync:p=0.5:502", SECOND, 0.4).is_some() && at("UpdateAsync:p=0.5:502", SECOND, 0.6).is_none()
        );
        assert!(at("*:@1s..2s:502", SECOND, 0.0).is_some() && at("*:@1s..2s:502", SECOND * 2, 0.0).is_none());
    }

    #[test]
    fn effects_are_what_roblox_raises() {
        let text = |rule: &str| match of_call(&rules(&[rule]), &UPDATE, SECOND, || 0.0) {
            Some(Fault::Refuse(error) | Fault::LoseAnswer(error)) => error.text.to_string(),
            None => String::new(),
        };
        assert!(text("*:throttle").starts_with("304: UpdateAsync request dropped."));
        assert!(text("*:502").starts_with("502: ") && text("*:502").ends_with("(not applied)"));
        assert!(text("*:unknown").contains("outcome unknown"));
        assert!(text("*:403").starts_with("403: "));
    }

    #[test]
    fn messages_are_lost_and_calls_are_not() {
        let rules = rules(&["messaging:p=0.5:drop"]);
        assert!(loses_message(&rules, SECOND, || 0.4) && !loses_message(&rules, SECOND, || 0.6));
        assert!(of_call(&rules, &UPDATE, SECOND, || 0.0).is_none());
    }

    #[test]
    fn senseless_rules_are_refused() {
        for text in
            ["", "502", ":502", "GetAsync:p=2:502", "GetAsync:sometimes:502", "GetAsync:drop", "messaging:502", "*:505"]
        {
            assert!(text.parse::<FaultRule>().is_err(), "{text}");
        }
    }
}
