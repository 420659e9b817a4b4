//! Buffers as they stand in JSON (spec §4): base64, or base64 of a zstd frame.
//!
//! Owns: reading both. Does not own: the tag around them. Ours are written plainly: nobody pays for the compression of what may
//! not shrink.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ruzstd::decoding::StreamingDecoder;

/// Member of the bytes.
pub(super) const PLAIN: &str = "base64";
/// Member of the compressed bytes.
pub(super) const COMPRESSED: &str = "zbase64";

/// Longest buffer (spec §4: what `JSONEncode` takes). A short text must not fill the memory.
const BUFFER_BYTES_MAX: u64 = 50 * 1024 * 1024;

pub(super) fn plain(base64: &str) -> mlua::Result<Vec<u8>> {
    STANDARD.decode(base64).map_err(mlua::Error::external)
}

pub(super) fn compressed(base64: &str) -> mlua::Result<Vec<u8>> {
    let (compressed, mut bytes) = (plain(base64)?, Vec::new());
    let frame = StreamingDecoder::new(&*compressed).map_err(mlua::Error::external)?;
    frame.take(BUFFER_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(mlua::Error::external)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= BUFFER_BYTES_MAX) {
        Ok(bytes)
    } else {
        Err(mlua::Error::runtime("a buffer of more than 50 MiB"))
    }
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
            assert!(compressed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_frame_that_grows_beyond_all_bounds_is_an_error() {
        // Magic number, no checksum, a window of 128 KiB; then blocks that repeat one byte 128 Ki times.
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
        let block = |is_last: u32| ((0x2_0000 << 3) | (1 << 1) | is_last).to_le_bytes();
        let mut repeat = |times: usize| {
            for number in 1..=times {
                frame.extend(&block(u32::from(number == times))[..3]);
                frame.push(b'a');
            }
            let result = compressed(&STANDARD.encode(&frame));
            frame.truncate(6);
            result
        };
        assert_eq!(repeat(400).unwrap().len(), 50 * 1024 * 1024);
        assert_eq!(repeat(401).unwrap_err().to_string(), "runtime error: a buffer of more than 50 MiB");
    }
}
