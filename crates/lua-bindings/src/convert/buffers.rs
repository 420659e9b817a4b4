//! Buffers as they stand in JSON (spec §4): base64, or base64 of a zstd frame.
//!
//! Owns: reading both. Does not own: the tag around them. Ours are written plainly: nobody pays for the compression of what may
//! not shrink.

use std::cell::Cell;
use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ruzstd::decoding::StreamingDecoder;

/// Member of the bytes.
pub(super) const PLAIN: &str = "base64";
/// Member of the compressed bytes.
pub(super) const COMPRESSED: &str = "zbase64";

/// Most bytes that the buffers of one value may inflate to (spec §4: the longest buffer that `JSONEncode` takes). A short text
/// must not fill the memory.
pub(super) const INFLATED_BYTES_MAX: u64 = 50 * 1024 * 1024;

pub(super) fn plain(base64: &str) -> mlua::Result<Vec<u8>> {
    STANDARD.decode(base64).map_err(mlua::Error::external)
}

/// `left`: how many bytes the value may still inflate to.
pub(super) fn compressed(base64: &str, left: &Cell<u64>) -> mlua::Result<Vec<u8>> {
    let (compressed, mut bytes) = (plain(base64)?, Vec::new());
    let frame = StreamingDecoder::new(&*compressed).map_err(mlua::Error::external)?;
    frame.take(left.get() + 1).read_to_end(&mut bytes).map_err(mlua::Error::external)?;
    let rest = u64::try_from(bytes.len()).ok().and_then(|length| left.get().checked_sub(length));
    left.set(rest.ok_or_else(|| mlua::Error::runtime("buffers of more than 50 MiB"))?);
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use mlua::{Lua, Value as LuaValue};

    use super::super::decode;
    use super::*;

    #[test]
    fn compressed_buffers_are_read() {
        let lua = Lua::new();
        // Made by `printf 'hello hello hello hello' | zstd | base64`.
        let json = r#"{"m":null,"t":"buffer","zbase64":"KLUv/QRoZQAAMGhlbGxvIAEAmUsRF16uDQ=="}"#;
        let LuaValue::Buffer(buffer) = decode(&lua, json.as_bytes()).unwrap() else { panic!("no buffer") };
        assert_eq!(buffer.to_vec(), b"hello hello hello hello");
        assert!(decode(&lua, json.replace("KLUv", "AAAA").as_bytes()).is_err());
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        for text in ["", "AAAA", "?", "KLUv/Q=="] {
            assert!(compressed(text, &Cell::new(INFLATED_BYTES_MAX)).is_err(), "{text}");
        }
    }

    #[test]
    fn frames_that_grow_beyond_all_bounds_are_an_error() {
        // Magic number, no checksum, a window of 128 KiB; then blocks that repeat one byte 128 Ki times.
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
        let block = |is_last: u32| ((0x2_0000 << 3) | (1 << 1) | is_last).to_le_bytes();
        let mut repeat = |times: usize, left: &Cell<u64>| {
            for number in 1..=times {
                frame.extend(&block(u32::from(number == times))[..3]);
                frame.push(b'a');
            }
            let result = compressed(&STANDARD.encode(&frame), left);
            frame.truncate(6);
            result
        };
        let left = || Cell::new(INFLATED_BYTES_MAX);
        assert_eq!(repeat(400, &left()).unwrap().len(), 50 * 1024 * 1024);
        assert_eq!(repeat(401, &left()).unwrap_err().to_string(), "runtime error: buffers of more than 50 MiB");
        let shared = left();
        assert!(repeat(200, &shared).is_ok() && repeat(200, &shared).is_ok() && repeat(1, &shared).is_err());
    }

    #[test]
    fn the_buffers_of_one_value_share_the_bound() {
        // Each inflates to 25 MiB of one byte.
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
        for number in 1..=200u32 {
            frame.extend(&((0x2_0000 << 3) | (1 << 1) | u32::from(number == 200)).to_le_bytes()[..3]);
            frame.push(b'a');
        }
        let buffer = format!(r#"{{"m":null,"t":"buffer","zbase64":"{}"}}"#, STANDARD.encode(&frame));
        let value = |count: usize| format!("[{}]", vec![buffer.as_str(); count].join(","));
        let lua = Lua::new();
        for _ in 0..2 {
            assert!(decode(&lua, value(2).as_bytes()).is_ok(), "each value has its own");
        }
        assert!(decode(&lua, value(3).as_bytes()).is_err());
    }
}
