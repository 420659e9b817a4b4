//! The calls of victims, as they were told.
//!
//! Owns: reading journals, one or several merged by time, and what each call must not fall behind. Does not own: writing them
//! (`calls`), what is concluded from them (`check`, `registers`).

use std::collections::HashMap;

use anyhow::{Context, Result, bail};

use super::calls::{Answer, Call, Kind, caller_of, is_script, process_of};

/// How far a cached read may be behind the writes of another process: 4 s, and a moment for the line to be written.
pub(super) const STALE_NS: u64 = 4_200_000_000;

/// One call of a journal. Positions are lines: they order what was told.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) call: Call,
    pub(super) called: usize,
    /// When, in nanoseconds of the clock that all processes share; 0 where a line has no time.
    pub(super) called_ns: u64,
    /// How it ended, if that was told.
    pub(super) answered: Option<Answered>,
    /// For counters: the greatest value that had been answered on the key when this was called.
    pub(super) floor: i64,
}

/// How a call ended.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) at: usize,
    pub(super) ns: u64,
    pub(super) answer: Answer,
}

impl Told {
    pub(crate) fn acked(&self) -> bool {
        self.value().is_some()
    }

    /// Nobody has told how it ended.
    pub(crate) fn is_open(&self) -> bool {
        self.answered.is_none()
    }

    pub(crate) fn called_ns(&self) -> u64 {
        self.called_ns
    }

    pub(crate) fn answered_ns(&self) -> Option<u64> {
        self.answered.as_ref().map(|answered| answered.ns)
    }

    pub(crate) fn failed(&self) -> bool {
        matches!(&self.answered, Some(Answered { answer: Answer::Fail(_), .. }))
    }

    /// Line of its answer, if it was done.
    pub(super) fn done_at(&self) -> usize {
        self.answered.as_ref().filter(|_| self.acked()).map_or(usize::MAX, |answered| answered.at)
    }

    pub(super) fn value(&self) -> Option<i64> {
        match self.answered {
            Some(Answered { answer: Answer::Ok(value), .. }) => Some(value),
            _ => None,
        }
    }

    /// Must this call have taken effect before `later` did, if both did?
    pub(super) fn precedes(&self, later: &Self) -> bool {
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
    pub(super) calls: Vec<Told>,
    /// Cached reads that were called before this may not have seen what others wrote before the history began. 0 for one process.
    pub(super) stale_until_ns: u64,
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
        let stale_until_ns = lines.first().map_or(0, |(time, _)| time + STALE_NS);
        Ok(Self { stale_until_ns, ..Self::of(lines.into_iter())? })
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
                    calls.push(Told { call, called: at, called_ns: time, answered: None, floor });
                }
                ("A", Some(id), Some(how), rest) => {
                    let told = index.get(&id).and_then(|&at| calls.get_mut(at));
                    let told = told.with_context(|| format!("journal: an answer without a call: {line}"))?;
                    let answer = parse_answer(how, rest).with_context(|| format!("journal: {line}"))?;
                    if let Answer::Ok(value) = answer {
                        shown.entry(told.call.key.clone()).or_default().add(process_of(id), time, value);
                    }
                    told.answered = Some(Answered { at, ns: time, answer });
                }
                ("open", None, None, None) | ("idle", _, None, None) => {}
                _ => bail!("journal: {line:?}"),
            }
        }
        Ok(Self { calls, stale_until_ns: 0 })
    }

    /// In the order in which they were made.
    pub(crate) fn calls(&self) -> impl Iterator<Item = &Told> {
        self.calls.iter()
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for told in &self.calls {
            match told.answered.as_ref().map(|answered| &answered.answer) {
                Some(Answer::Ok(_)) => counts.acked += 1,
                Some(Answer::Fail(_)) => counts.failed += 1,
                Some(Answer::Unknown) => counts.unknown += 1,
                None => counts.open += 1,
            }
        }
        counts
    }

    /// Text of the first call that failed.
    pub(crate) fn first_failure(&self) -> Option<&str> {
        self.calls.iter().find_map(|told| match &told.answered {
            Some(Answered { answer: Answer::Fail(text), .. }) => Some(text.as_str()),
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
