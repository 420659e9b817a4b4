//! Messages as the text that carries them between processes.
//!
//! Owns: the form, cutting many messages into few payloads, and telling apart what is new from what came twice. Does not own:
//! who sends the payloads (`backend::CarryMessages`).
//!
//! A payload is `1 <publisher> <number>` and a line feed, then for each message
//! `<game> <sent> <bytes of topic> <bytes of JSON> <topic><JSON>`; all numbers but the game's are hexadecimal. The leading 1 is
//! the version: others are not read. `<number>` counts the publisher's messages and is that of the first one here.

use std::collections::HashMap;
use std::fmt::Write as _;

use bytes::Bytes;
use foldhash::fast::FixedState;

use super::{Message, Payload, Topic};
use crate::clock::Timestamp;
use crate::entry_key::GameId;
use crate::limits::{MESSAGE_CHARS_MAX, TOPIC_CHARS_MAX};

/// Most bytes of one payload: Postgres takes fewer than 8,000.
pub const PAYLOAD_BYTES_MAX: usize = 7_999;

const VERSION: &str = "1";
/// Version, two numbers of 64 bits, and what parts them.
const HEADER_BYTES_MAX: usize = 1 + 1 + 16 + 1 + 16 + 1;
/// A UUID, three numbers, what parts them, topic and JSON of characters of four bytes.
const RECORD_BYTES_MAX: usize = 36 + 16 + 4 + 4 + 4 + 4 * (TOPIC_CHARS_MAX + MESSAGE_CHARS_MAX);
const _: () = assert!(HEADER_BYTES_MAX + RECORD_BYTES_MAX <= PAYLOAD_BYTES_MAX, "any legal message fits");

/// Publishers whose last number is kept. There are about as many as processes; beyond, all are forgotten, and a payload that
/// comes twice just then is taken twice.
const PUBLISHERS_MAX: usize = 1_024;

/// One start of one process, as a sender of messages: a random number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Publisher(pub u64);

impl Publisher {
    /// From random bits.
    #[expect(clippy::cast_possible_truncation, reason = "the low bits are as random as the others")]
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits as u64)
    }
}

/// A message of a game, on its way between processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// Whose.
    pub game: GameId,
    /// Which.
    pub message: Message,
}

/// Puts messages into as few payloads as hold them in their order, numbered from `first` on.
pub fn pack<'a>(publisher: Publisher, first: u64, messages: impl IntoIterator<Item = &'a Carried>) -> Vec<String> {
    let mut payloads: Vec<String> = Vec::new();
    let mut record = String::new();
    for (number, carried) in (first..).zip(messages) {
        record.clear();
        write_record(&mut record, carried);
        match payloads.last_mut().filter(|payload| payload.len() + record.len() <= PAYLOAD_BYTES_MAX) {
            Some(payload) => payload.push_str(&record),
            None => payloads.push(format!("{VERSION} {:x} {number:x}\n{record}", publisher.0)),
        }
    }
    payloads
}

fn write_record(record: &mut String, Carried { game, message }: &Carried) {
    let json = String::from_utf8_lossy(message.payload.json());
    // Writing to a string does not fail.
    let _ = write!(record, "{game} {:x} {:x} {:x} ", message.sent.ticks(), message.topic.len(), json.len());
    record.push_str(&message.topic);
    record.push_str(&json);
}

/// A payload that no process of this version has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a payload is not one of ours")]
pub struct BadPayload;

/// What arrives at one process.
#[derive(Debug)]
pub struct Arrivals {
    me: Publisher,
    /// Number of the last message of each other publisher.
    last: HashMap<Publisher, u64, FixedState>,
}

impl Arrivals {
    /// For the process that publishes as `me`.
    pub fn new(me: Publisher) -> Self {
        Self { me, last: HashMap::default() }
    }

    /// The messages of a payload that are new here: none of one's own, none that came before.
    ///
    /// # Errors
    /// If the payload is not one of ours. Nothing of it is taken then.
    pub fn take(&mut self, payload: &str) -> Result<Vec<Carried>, BadPayload> {
        let (header, mut rest) = payload.split_once('\n').ok_or(BadPayload)?;
        let mut fields = header.split(' ');
        let (version, publisher, first) = (fields.next(), hexadecimal(fields.next())?, hexadecimal(fields.next())?);
        if version != Some(VERSION) || fields.next().is_some() {
            return Err(BadPayload);
        }
        let publisher = Publisher(publisher);
        if publisher == self.me {
            return Ok(Vec::new());
        }
        let mut messages = Vec::new();
        while !rest.is_empty() {
            messages.push(read_record(&mut rest)?);
        }
        let end = first.checked_add(messages.len() as u64).ok_or(BadPayload)?;
        if self.last.len() >= PUBLISHERS_MAX && !self.last.contains_key(&publisher) {
            self.last.clear();
        }
        let next = self.last.entry(publisher).or_insert(first);
        let known = next.saturating_sub(first);
        *next = (*next).max(end);
        // At most as many as there are: no payload has more than its bytes.
        messages.drain(..usize::try_from(known).unwrap_or(usize::MAX).min(messages.len()));
        Ok(messages)
    }
}

fn read_record(rest: &mut &str) -> Result<Carried, BadPayload> {
    let mut fields = rest.splitn(5, ' ');
    let game = fields.next().and_then(|game| game.parse().ok()).ok_or(BadPayload)?;
    let sent = Timestamp::from_ticks(hexadecimal(fields.next())?);
    let (topic, json) = (length(fields.next())?, length(fields.next())?);
    let text = fields.next().ok_or(BadPayload)?;
    let (topic, text) = text.split_at_checked(topic).ok_or(BadPayload)?;
    let (json, text) = text.split_at_checked(json).ok_or(BadPayload)?;
    *rest = text;
    let topic = Topic::new(topic.as_bytes()).map_err(|_| BadPayload)?;
    let payload = Payload::new(Bytes::copy_from_slice(json.as_bytes())).map_err(|_| BadPayload)?;
    Ok(Carried { game, message: Message { topic, payload, sent } })
}

fn hexadecimal(field: Option<&str>) -> Result<u64, BadPayload> {
    field.and_then(|field| u64::from_str_radix(field, 16).ok()).ok_or(BadPayload)
}

fn length(field: Option<&str>) -> Result<usize, BadPayload> {
    usize::try_from(hexadecimal(field)?).map_err(|_| BadPayload)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn carried() -> impl Strategy<Value = Carried> {
        let game = prop_oneof![(1_u64..1 << 53).prop_map(GameId::Number), any::<u128>().prop_map(GameId::Uuid)];
        let texts = ("[^\\x00]{1,80}", "[^\\x00]{0,1024}");
        (game, texts, any::<u64>()).prop_map(|(game, (topic, json), sent)| {
            let (topic, payload) = (Topic::new(topic.as_bytes()), Payload::new(json));
            let message = Message {
                topic: topic.expect("legal"),
                payload: payload.expect("legal"),
                sent: Timestamp::from_ticks(sent),
            };
            Carried { game, message }
        })
    }

    fn message(text: &str) -> Carried {
        let (topic, payload) = (Topic::new(b"t").expect("legal"), Payload::new(text.to_owned()).expect("legal"));
        Carried { game: GameId::Number(1), message: Message { topic, payload, sent: Timestamp::from_unix_ms(7) } }
    }

    const HERE: Publisher = Publisher(1);
    const THERE: Publisher = Publisher(u64::MAX);

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// Whatever is sent comes out as it went in, in payloads that Postgres takes; what comes twice comes out once.
        #[test]
        fn messages_survive_the_way(messages in prop::collection::vec(carried(), 0..40), first in 0..u64::MAX / 2) {
            let payloads = pack(THERE, first, &messages);
            let (mut here, mut there) = (Arrivals::new(HERE), Arrivals::new(THERE));
            let mut arrived = Vec::new();
            for payload in &payloads {
                prop_assert!(payload.len() <= PAYLOAD_BYTES_MAX && !payload.contains('\0'));
                arrived.extend(here.take(payload).expect("ours"));
                prop_assert_eq!(here.take(payload).expect("ours"), []);
                prop_assert_eq!(there.take(payload).expect("ours"), []);
            }
            prop_assert_eq!(arrived, messages);
        }

        /// Nothing that a stranger sends does harm.
        #[test]
        fn a_stranger_does_no_harm(text in ".{0,200}", at in 0_usize..200, with in any::<char>()) {
            let mut here = Arrivals::new(HERE);
            let _ = here.take(&text);
            let mut payload = pack(THERE, 0, [&message("\"a\""), &message("\"ü\"")]).concat();
            let place = (0..=at.min(payload.len())).rev().find(|&place| payload.is_char_boundary(place));
            payload.insert(place.unwrap_or(0), with);
            let _ = here.take(&payload);
        }
    }

    /// The form is spoken between versions of this program: it changes with the version in front.
    #[test]
    fn the_form_stays() {
        let payloads = pack(Publisher(0xab), 31, [&message("\"hi\""), &message("{}")]);
        assert_eq!(payloads, ["1 ab 1f\n1 11170 1 4 t\"hi\"1 11170 1 2 t{}"]);
    }

    #[test]
    fn a_repeated_payload_with_more_behind_it_gives_what_is_new() {
        let (a, b) = (message("1"), message("2"));
        let mut here = Arrivals::new(HERE);
        assert_eq!(here.take(&pack(THERE, 0, [&a])[0]), Ok(vec![a.clone()]));
        assert_eq!(here.take(&pack(THERE, 0, [&a, &b])[0]), Ok(vec![b.clone()]));
        assert_eq!(here.take(&pack(THERE, 9, [&a])[0]), Ok(vec![a]), "a gap is a loss, and no more");
        assert_eq!(here.take(&pack(THERE, 1, [&b])[0]), Ok(Vec::new()));
    }

    #[test]
    fn other_versions_are_not_read() {
        let payload = pack(THERE, 0, [&message("1")])[0].replacen('1', "2", 1);
        assert_eq!(Arrivals::new(HERE).take(&payload), Err(BadPayload));
    }

    #[test]
    fn so_many_publishers_are_known_and_no_more() {
        let mut here = Arrivals::new(HERE);
        let mut hears = |publisher: usize| {
            let payload = &pack(Publisher(2 + publisher as u64), 0, [&message("1")])[0];
            here.take(payload).expect("ours").len()
        };
        assert!((0..PUBLISHERS_MAX).all(|publisher| hears(publisher) == 1), "the first message of each");
        assert!((0..PUBLISHERS_MAX).all(|publisher| hears(publisher) == 0), "nobody is forgotten while there is room");
        assert_eq!((hears(PUBLISHERS_MAX), hears(PUBLISHERS_MAX)), (1, 0));
        assert_eq!(hears(0), 1, "all others are");
    }

    #[test]
    fn few_messages_share_a_payload() {
        let messages = vec![message("\"x\""); 1_000];
        assert!(pack(HERE, 0, &messages).len() <= 3);
    }
}
