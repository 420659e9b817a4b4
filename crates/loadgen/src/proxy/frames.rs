//! Messages of the Postgres protocol, as far as a proxy must tell them apart.
//!
//! Owns: cutting a stream into messages: first those without a type (start-up, and what may come before it), then a type
//! and a length each. Does not own: what is in them, but for names and texts of statements.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// A message of more is no message: Postgres takes at most 1 GiB.
const LENGTH_MAX: usize = 1 << 30;
const READ_BYTES: usize = 64 * 1024;

/// Codes in place of a protocol version.
const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;

/// The first messages of a client have no type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// "May we encrypt?" Answered with one byte; another opening follows.
    Encryption,
    /// Cancels what another connection does. Nothing follows.
    Cancel,
    /// From here on every message has a type.
    StartUp,
}

impl Opening {
    pub(super) fn of(message: &[u8]) -> Self {
        match number(message, 4) {
            Some(SSL | GSS) => Self::Encryption,
            Some(CANCEL) => Self::Cancel,
            _ => Self::StartUp,
        }
    }
}

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Frames<R> {
    from: R,
    buffer: Vec<u8>,
    /// Bytes before the length: the type, if messages have one.
    head: usize,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    /// A client's side: messages have no type until [`Frames::typed`].
    pub(super) fn untyped(from: R) -> Self {
        Self { from, buffer: Vec::new(), head: 0 }
    }

    pub(super) fn typed(mut self) -> Self {
        self.head = 1;
        self
    }

    /// The next message, `None` at the end of the stream. Loses nothing if it is dropped half-way.
    pub(super) async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(length) = self.whole()? {
                let rest = self.buffer.split_off(length);
                return Ok(Some(std::mem::replace(&mut self.buffer, rest)));
            }
            self.buffer.reserve(READ_BYTES);
            if self.from.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Is another message here already?
    pub(super) fn has_next(&self) -> bool {
        self.whole().is_ok_and(|length| length.is_some())
    }

    /// Length of the message at the front, if all of it is here.
    fn whole(&self) -> io::Result<Option<usize>> {
        let Some(length) = number(&self.buffer, self.head) else { return Ok(None) };
        let length = length as usize;
        if !(4..=LENGTH_MAX).contains(&length) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not the Postgres protocol"));
        }
        let whole = self.head + length;
        Ok((self.buffer.len() >= whole).then_some(whole))
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    bytes.try_into().ok().map(u32::from_be_bytes)
}

/// The first two texts of a message with a type: name and text of a Parse, portal and statement of a Bind; a Query has
/// its text first.
pub(super) fn two_texts(message: &[u8]) -> (&[u8], &[u8]) {
    let mut texts = message.get(5..).unwrap_or_default().splitn(3, |&byte| byte == 0);
    (texts.next().unwrap_or_default(), texts.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn messages_are_told_apart_wherever_the_stream_was_split() {
        let bytes = b"Q\0\0\0\x09abcd\0S\0\0\0\x04P\0\0\0\x0aa\0bc\0\0";
        for split in 0..bytes.len() {
            let (first, second) = bytes.split_at(split);
            let mut frames = Frames::untyped(AsyncReadExt::chain(first, second)).typed();
            let all = run(async {
                let mut all = Vec::new();
                while let Some(message) = frames.next().await.unwrap() {
                    all.push(message);
                }
                all
            });
            assert_eq!(all, [&bytes[..10], &bytes[10..15], &bytes[15..]], "split at {split}");
        }
        assert_eq!(two_texts(&bytes[..10]), (&b"abcd"[..], &b""[..]));
        assert_eq!(two_texts(&bytes[15..]), (&b"a"[..], &b"bc"[..]));
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        let mut frames = Frames::untyped(&b"Q\0\0\0\x01"[..]).typed();
        assert!(run(frames.next()).is_err());
        let mut frames = Frames::untyped(&b"GET / HTTP/1.1"[..]).typed();
        assert!(run(frames.next()).is_err(), "a length of a gigabyte and more");
    }

    #[test]
    fn openings_are_told_apart() {
        let opening = |code: u32| Opening::of(&[&8_u32.to_be_bytes()[..], &code.to_be_bytes()].concat());
        assert_eq!([opening(SSL), opening(GSS)], [Opening::Encryption; 2]);
        assert_eq!((opening(CANCEL), opening(196_608)), (Opening::Cancel, Opening::StartUp));
    }
}
