//! What a game has printed.
//!
//! Owns: reading a report, finding events in it, and what must hold for every save library. The events that the games print:
//! `asks ID`, `has ID COINS LOADS`, `saved ID COINS`, `ends ID COINS`, `none ID`.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

/// A run that is over.
#[derive(Debug)]
pub(crate) struct Played {
    /// In the order in which they were printed.
    pub(crate) events: Vec<Event>,
    /// Warnings and errors: server, level and text.
    pub(crate) complaints: Vec<String>,
    /// Faults that were injected.
    pub(crate) faults: u64,
    /// How each server ended.
    ends: Vec<(String, String)>,
    /// Calls of all servers, by service and method.
    calls: HashMap<String, u64>,
}

/// A line of words.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) server: String,
    /// Seconds since the run began.
    pub(crate) time: f64,
    words: Vec<String>,
}

impl Event {
    pub(crate) fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    pub(crate) fn word(&self, index: usize) -> &str {
        &self.words[index]
    }

    /// Whose data it is about.
    pub(crate) fn id(&self) -> i64 {
        self.number(1)
    }

    pub(crate) fn coins(&self) -> i64 {
        self.number(2)
    }

    /// How often it was loaded, of a `has`.
    pub(crate) fn loads(&self) -> i64 {
        self.number(3)
    }

    #[track_caller]
    fn number(&self, index: usize) -> i64 {
        let word = self.words.get(index).unwrap_or_else(|| panic!("there is no word {index}: {self:?}"));
        word.parse().unwrap_or_else(|_| panic!("word {index} is no number: {self:?}"))
    }
}

impl Played {
    pub(crate) fn read(report: &Path) -> Self {
        let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
        let (mut events, mut complaints) = (Vec::new(), Vec::new());
        for line in report["lines"].as_array().unwrap() {
            let (server, text) = (line["server"].as_str().unwrap(), line["text"].as_str().unwrap());
            if line["level"] == "print" {
                let words = text.split_whitespace().map(str::to_owned).collect();
                events.push(Event { server: server.to_owned(), time: line["time"].as_f64().unwrap(), words });
            } else {
                complaints.push(format!("{} {server} {}: {text}", line["time"], line["level"]));
            }
        }
        let (mut ends, mut calls) = (Vec::new(), HashMap::new());
        for server in report["servers"].as_array().unwrap() {
            ends.push((text(&server["name"]), text(&server["end"])));
            for (method, count) in server["calls"].as_object().unwrap() {
                *calls.entry(method.clone()).or_default() += count.as_u64().unwrap();
            }
        }
        Self { events, complaints, faults: report["faults"].as_u64().unwrap(), ends, calls }
    }

    /// All events of this name.
    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Event> + use<'a> {
        let name = name.to_owned();
        self.events.iter().filter(move |event| event.name() == name)
    }

    /// The first event of this name on this server.
    #[track_caller]
    pub(crate) fn first(&self, server: &str, name: &str) -> &Event {
        let mut found = self.all(name).filter(|event| event.server == server);
        found.next().unwrap_or_else(|| panic!("{server} never printed `{name}`: {self:#?}"))
    }

    /// Seconds from asking to having, on this server.
    #[track_caller]
    pub(crate) fn wait(&self, server: &str) -> f64 {
        self.first(server, "has").time - self.first(server, "asks").time
    }

    /// How often a method was called.
    pub(crate) fn calls(&self, method: &str) -> usize {
        usize::try_from(self.calls.get(method).copied().unwrap_or_default()).unwrap()
    }

    /// No script complained, and all servers closed in time.
    #[track_caller]
    pub(crate) fn expect_calm(&self) {
        assert!(self.complaints.is_empty(), "{:#?}", self.complaints);
        assert!(self.ends.iter().all(|(_, end)| end == "closed"), "{:?}", self.ends);
    }

    /// Nobody has what another one has. `gone`: servers that were killed, and when.
    #[track_caller]
    pub(crate) fn expect_one_owner(&self, gone: &[(&str, f64)]) {
        let mut owners: HashMap<i64, &str> = HashMap::new();
        for event in &self.events {
            match event.name() {
                "has" => {
                    let before = owners.insert(event.id(), &event.server);
                    let is_gone =
                        |owner: &str| gone.iter().any(|(server, time)| *server == owner && *time <= event.time);
                    assert!(before.is_none_or(is_gone), "two owners at {}: {self:#?}", event.time);
                }
                "ends" if owners.get(&event.id()) == Some(&event.server.as_str()) => {
                    owners.remove(&event.id());
                }
                _ => {}
            }
        }
    }

    /// Whoever begins finds at least what was reported as saved before, and what was there when a session ended.
    #[track_caller]
    pub(crate) fn expect_nothing_lost(&self) {
        let mut saved: HashMap<i64, i64> = HashMap::new();
        for event in &self.events {
            match event.name() {
                "saved" | "ends" => {
                    let newest = saved.entry(event.id()).or_default();
                    *newest = event.coins().max(*newest);
                }
                "has" => {
                    let least = saved.get(&event.id()).copied().unwrap_or_default();
                    assert!(event.coins() >= least, "{least} was saved, and {event:?}: {self:#?}");
                }
                _ => {}
            }
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
