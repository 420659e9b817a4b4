//! Answers are compared as texts in which ids and times of the store's own making stand for what the model calls them.

use std::collections::HashMap;

use crate::model::Key;

/// Which id a version of the model has, and the other way round: ids are those of their key.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    of_versions: HashMap<usize, String>,
    versions: HashMap<(Key, String), usize>,
}

/// A minute, in milliseconds: how far behind the time of a store's last write may be.
const BEHIND_MS: u64 = 60_000;

impl Ids {
    /// All that are known.
    pub(crate) fn known(&self) -> impl Iterator<Item = (usize, &str)> {
        self.of_versions.iter().map(|(number, id)| (*number, id.as_str()))
    }

    /// Is it the same answer? `keys`: of all versions. Remembers ids that are new.
    pub(crate) fn agree(&mut self, keys: &[Key], expected: &str, actual: &str) -> bool {
        let (expected, actual) = (words(expected), words(actual));
        expected.len() == actual.len() && expected.iter().zip(&actual).all(|(a, b)| self.word_agrees(keys, a, b))
    }

    fn word_agrees(&mut self, keys: &[Key], expected: &str, actual: &str) -> bool {
        if let (Some(number), Some(id)) = (of_version(expected), actual.strip_prefix('<')) {
            let is_bound = self.of_versions.entry(number).or_insert_with(|| id.to_owned()) == id;
            let key = &keys[number - 1];
            let is_its_own = *self.versions.entry((key.clone(), id.to_owned())).or_insert(number) == number;
            return is_bound && is_its_own && self.is_in_order(key, number, id);
        }
        if let (Some(last), Some(shown)) = (expected.strip_prefix('~'), actual.strip_prefix('~')) {
            let (last, shown): (u64, u64) = (last.parse().unwrap(), shown.parse().unwrap());
            return (last - BEHIND_MS..=last).contains(&shown);
        }
        expected == actual
    }

    /// Ids of a key are in the order of its versions (spec §2.7).
    fn is_in_order(&self, key: &Key, number: usize, id: &str) -> bool {
        let mut of_key = self.versions.iter().filter(|((of, _), _)| of == key);
        of_key.all(|((_, other), &n)| n.cmp(&number) == other.as_str().cmp(id))
    }
}

/// The number in `<v7`.
fn of_version(word: &str) -> Option<usize> {
    word.strip_prefix("<v")?.parse().ok()
}

/// Cut in front of `<` and `~`, and behind what follows them.
fn words(text: &str) -> Vec<&str> {
    let (mut words, mut rest) = (Vec::new(), text);
    while let Some(start) = rest.find(['<', '~']) {
        let (plain, marked) = rest.split_at(start);
        let end = marked.find(['>', ' ', ')']).unwrap_or(marked.len());
        words.extend([plain, &marked[..end]]);
        rest = &marked[end..];
    }
    words.push(rest);
    words
}
