//! What must hold after a fault.
//!
//! Owns: reading a journal, and comparing the state before the round, the calls, and the state after. Does not own: how
//! the three were obtained. Each rule has a test that shows it a bad sample.
//!
//! A call is *maybe* applied if it was not answered, or answered UNKNOWN.
//! 1. Counters: `before + acked <= after <= before + acked + maybe`; no two answers tell the same value; a value is
//!    greater than all that were answered before it was called (reads: by the same process, or 4 s before); nothing that was read or answered is greater than `after`.
//! 2. Lists: what was there is still there; each acked number once, each maybe number at most once, a failed one never;
//!    a number that was answered before another was called stands before it, and so do those of one VM.
//! 3. Sets: the value is of a call that no acked call came after; without one, what was there before.
//! 4. What was not called is as it was.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::calls::{Answer, Call, Kind, caller_of, is_script, process_of};

/// How far a cached read may be behind the writes of another process: 4 s, and a moment for the line to be written.
const STALE_NS: u64 = 4_200_000_000;

/// Every key with its value.
pub(crate) type State = BTreeMap<String, Value>;

/// One call of a journal. Positions are lines: they order what was told.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) call: Call,
    called: usize,
    answered: Option<(usize, Answer)>,
    /// For counters: the greatest value that had been answered on the key when this was called.
    floor: i64,
}

impl Told {
    fn acked(&self) -> bool {
        matches!(self.answered, Some((_, Answer::Ok(_))))
    }

    fn failed(&self) -> bool {
        matches!(self.answered, Some((_, Answer::Fail(_))))
    }

    /// Line of its answer, if it was done.
    fn done_at(&self) -> usize {
        self.answered.as_ref().filter(|_| self.acked()).map_or(usize::MAX, |(at, _)| *at)
    }

    fn value(&self) -> Option<i64> {
        match self.answered {
            Some((_, Answer::Ok(value))) => Some(value),
            _ => None,
        }
    }

    /// Must this call have taken effect before `later` did, if both did?
    fn precedes(&self, later: &Self) -> bool {
        let caller = caller_of(self.call.id);
        let same_vm = caller == caller_of(later.call.id) && is_script(caller);
        self.done_at() < later.called || (same_vm && self.called < later.called)
    }
}

/// What the answers on one counter have shown so far.
#[derive(Debug, Default)]
struct Shown {
    /// The greatest value until each time, in the order of time.
    greatest: Vec<(u64, i64)>,
    /// The greatest that each process has shown.
    by_process: HashMap<u64, i64>,
}

impl Shown {
    fn add(&mut self, process: u64, time: u64, value: i64) {
        let own = self.by_process.entry(process).or_insert(value);
        *own = value.max(*own);
        let greatest = self.greatest.last().map_or(value, |(_, greatest)| value.max(*greatest));
        self.greatest.push((time, greatest));
    }

    /// What a call that is made now must not fall behind. A read may be [`STALE_NS`] behind other processes, but not
    /// behind its own (I12).
    fn floor(&self, kind: Kind, process: u64, time: u64) -> i64 {
        let own = self.by_process.get(&process).copied().unwrap_or(0);
        let until = if kind == Kind::Get { time.saturating_sub(STALE_NS) } else { u64::MAX };
        let others = self.greatest.partition_point(|(shown, _)| *shown <= until);
        let others = others.checked_sub(1).and_then(|last| self.greatest.get(last));
        others.map_or(own, |(_, greatest)| own.max(*greatest))
    }
}

/// How many calls ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) acked: usize,
    pub(crate) failed: usize,
    pub(crate) unknown: usize,
    /// Not answered: in flight at the kill.
    pub(crate) open: usize,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.acked += other.acked;
        self.failed += other.failed;
        self.unknown += other.unknown;
        self.open += other.open;
    }
}

/// All calls of one victim.
#[derive(Debug, Default)]
pub(crate) struct History {
    calls: Vec<Told>,
}

impl History {
    /// Reads a journal. A last line without an end was cut off by the kill.
    pub(crate) fn parse(journal: &[u8]) -> Result<Self> {
        Self::of(stamped(journal)?.into_iter())
    }

    /// Reads the journals of processes that ran beside each other. Of two lines of one time the call comes first: then
    /// nothing is held against its answer.
    pub(crate) fn merge(journals: &[Vec<u8>]) -> Result<Self> {
        let mut lines = Vec::new();
        for journal in journals {
            lines.extend(stamped(journal)?.into_iter().filter(|(_, line)| line.starts_with(['A', 'C'])));
        }
        lines.sort_by_key(|(time, line)| (*time, line.starts_with('A')));
        Self::of(lines.into_iter())
    }

    fn of<'a>(lines: impl Iterator<Item = (u64, &'a str)>) -> Result<Self> {
        let (mut calls, mut index) = (Vec::<Told>::new(), HashMap::new());
        let mut shown: HashMap<String, Shown> = HashMap::new();
        for (at, (time, line)) in lines.enumerate() {
            let mut words = line.splitn(4, ' ');
            let (tag, id) = (words.next().unwrap_or_default(), words.next().and_then(|id| id.parse::<u64>().ok()));
            match (tag, id, words.next(), words.next()) {
                ("C", Some(id), Some(kind), Some(key)) => {
                    let kind = Kind::parse(kind).with_context(|| format!("journal: {line}"))?;
                    let floor = shown.get(key).map_or(0, |shown| shown.floor(kind, process_of(id), time));
                    index.insert(id, calls.len());
                    let call = Call { id, kind, key: key.to_owned() };
                    calls.push(Told { call, called: at, answered: None, floor });
                }
                ("A", Some(id), Some(how), rest) => {
                    let told = index.get(&id).and_then(|&at| calls.get_mut(at));
                    let told = told.with_context(|| format!("journal: an answer without a call: {line}"))?;
                    let answer = parse_answer(how, rest).with_context(|| format!("journal: {line}"))?;
                    if let Answer::Ok(value) = answer {
                        shown.entry(told.call.key.clone()).or_default().add(process_of(id), time, value);
                    }
                    told.answered = Some((at, answer));
                }
                ("open" | "idle", None, None, None) => {}
                _ => bail!("journal: {line:?}"),
            }
        }
        Ok(Self { calls })
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for told in &self.calls {
            match &told.answered {
                Some((_, Answer::Ok(_))) => counts.acked += 1,
                Some((_, Answer::Fail(_))) => counts.failed += 1,
                Some((_, Answer::Unknown)) => counts.unknown += 1,
                None => counts.open += 1,
            }
        }
        counts
    }

    /// Text of the first call that failed.
    pub(crate) fn first_failure(&self) -> Option<&str> {
        self.calls.iter().find_map(|told| match &told.answered {
            Some((_, Answer::Fail(text))) => Some(text.as_str()),
            _ => None,
        })
    }
}

/// Whole lines with their times, 0 for none.
fn stamped(journal: &[u8]) -> Result<Vec<(u64, &str)>> {
    let whole = journal.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    let text = std::str::from_utf8(&journal[..whole]).context("the journal is not text")?;
    let split = |line| match str::rsplit_once(line, " @") {
        Some((rest, time)) => time.parse().map_or((0, line), |time| (time, rest)),
        None => (0, line),
    };
    Ok(text.lines().map(split).collect())
}

fn parse_answer(how: &str, rest: Option<&str>) -> Option<Answer> {
    match how {
        "ok" => Some(Answer::Ok(rest?.parse().ok()?)),
        "fail" => Some(Answer::Fail(rest.unwrap_or_default().to_owned())),
        "unknown" => Some(Answer::Unknown),
        _ => None,
    }
}

/// What is wrong with `after`; empty if nothing is.
pub(crate) fn check(before: &State, history: &History, after: &State) -> Vec<String> {
    let mut by_key: BTreeMap<&str, Vec<&Told>> = BTreeMap::new();
    for told in &history.calls {
        by_key.entry(&told.call.key).or_default().push(told);
    }
    let mut found = Vec::new();
    let keys: HashSet<&String> = before.keys().chain(after.keys()).collect();
    for key in keys {
        if !by_key.contains_key(key.as_str()) && before.get(key) != after.get(key) {
            found.push(format!("{key}: nobody wrote it, and it changed"));
        }
    }
    for (key, calls) in by_key {
        let (before, after) = (before.get(key).unwrap_or(&Value::Null), after.get(key).unwrap_or(&Value::Null));
        let wrong = match calls[0].call.kind {
            Kind::Increment | Kind::Bump | Kind::Get => check_counter(before, &calls, after),
            Kind::Append => check_list(before, &calls, after),
            Kind::Set => check_set(before, &calls, after),
        };
        found.extend(wrong.into_iter().map(|wrong| format!("{key}: {wrong}")));
    }
    found
}

fn check_counter(before: &Value, calls: &[&Told], after: &Value) -> Vec<String> {
    let number = |value: &Value| if value.is_null() { Some(0) } else { value.as_i64() };
    let (Some(before), Some(after)) = (number(before), number(after)) else {
        return vec![format!("not a number: {after}")];
    };
    let (mut found, mut seen, mut acked, mut maybe) = (Vec::new(), HashSet::new(), 0_i64, 0_i64);
    for told in calls {
        let is_write = told.call.kind != Kind::Get;
        if is_write && told.acked() {
            acked += 1;
        } else if is_write && !told.failed() {
            maybe += 1;
        }
        let Some(value) = told.value() else { continue };
        if is_write && !seen.insert(value) {
            found.push(format!("call {} was answered {value}, as another was: applied once for two", told.call.id));
        }
        if value < told.floor + i64::from(is_write) || value < before {
            let (id, floor) = (told.call.id, told.floor.max(before));
            found.push(format!("call {id} was answered {value} after {floor} had been answered: stale"));
        }
        if value > after {
            found.push(format!("call {} was answered {value}, and {after} is stored: LOST", told.call.id));
        }
    }
    if after < before + acked {
        found.push(format!("{before} + {acked} acknowledged, and {after} is stored: LOST"));
    }
    if after > before + acked + maybe {
        found.push(format!("{before} + {acked} acknowledged + {maybe} unknown, and {after} is stored: applied twice"));
    }
    found
}

fn check_list(before: &Value, calls: &[&Told], after: &Value) -> Vec<String> {
    let numbers = |value: &Value| match value {
        Value::Null => Some(Vec::new()),
        Value::Array(items) => items.iter().map(Value::as_u64).collect::<Option<Vec<u64>>>(),
        _ => None,
    };
    let (Some(before), Some(after)) = (numbers(before), numbers(after)) else {
        return vec![format!("not a list of numbers: {after}")];
    };
    let Some(added) = after.strip_prefix(before.as_slice()) else {
        return vec![format!("the {} entries that were there are not any more: LOST", before.len())];
    };
    let by_id: HashMap<u64, &Told> = calls.iter().map(|told| (told.call.id, *told)).collect();
    let (mut found, mut entries, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for id in added {
        match by_id.get(id) {
            None => found.push(format!("entry {id}: nobody appended it")),
            Some(told) if told.failed() => found.push(format!("entry {id}: its call failed, and it is there")),
            Some(_) if !seen.insert(*id) => found.push(format!("entry {id}: applied twice")),
            Some(told) => entries.push(*told),
        }
    }
    let lost = calls.iter().filter(|told| told.acked() && !seen.contains(&told.call.id));
    found.extend(lost.map(|told| format!("entry {}: acknowledged, and not there: LOST", told.call.id)));
    found.extend(check_order(&entries));
    found
}

/// No entry stands before one that must precede it.
fn check_order(entries: &[&Told]) -> Vec<String> {
    let mut found = Vec::new();
    // From the end: the earliest answer, and the first call of each VM, among those that stand behind.
    let (mut first_done, mut first_called) = (usize::MAX, HashMap::new());
    for told in entries.iter().rev() {
        let caller = caller_of(told.call.id);
        let behind = first_called.entry(caller).or_insert(usize::MAX);
        if first_done < told.called || (is_script(caller) && *behind < told.called) {
            found.push(format!("entry {}: stands before one that came earlier", told.call.id));
        }
        *behind = told.called.min(*behind);
        first_done = told.done_at().min(first_done);
    }
    found
}

fn check_set(before: &Value, calls: &[&Told], after: &Value) -> Vec<String> {
    if after == before {
        let lost = calls.iter().find(|told| told.acked());
        return lost
            .map(|told| format!("call {}: acknowledged, and the key is as before: LOST", told.call.id))
            .into_iter()
            .collect();
    }
    let Some(stored) = calls.iter().find(|told| after.as_u64() == Some(told.call.id)) else {
        return vec![format!("{after}: nobody wrote it in this round")];
    };
    if stored.failed() {
        return vec![format!("call {}: failed, and its value is stored", stored.call.id)];
    }
    let later = calls.iter().find(|told| told.acked() && stored.precedes(told));
    let text = |told: &&&Told| {
        format!("call {}: acknowledged after {} was done, and {after} is stored: LOST", told.call.id, stored.call.id)
    };
    later.iter().map(text).collect()
}

#[cfg(test)]
mod tests;
